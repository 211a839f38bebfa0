//! One value of the file against what its key may be.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeArray, DeValue};

use super::environment::expand;
use super::keys::Kind;
use super::problem::{Place, Problem};
use super::reader::Lines;
use super::section::{Text, Value};
use crate::sources::hide_user;

/// What a value is read with.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) lines: &'a Lines<'a>,
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
}

/// Why a value is not what it should be: what was expected, or a problem that says more.
enum Wrong {
    Expected(String),
    Because(Problem),
}

impl Values<'_> {
    /// Reads `value` as what `kind` allows. The problem's key is left to the caller.
    pub(super) fn read(&self, kind: Kind, value: &Spanned<DeValue<'_>>) -> Result<Value, Problem> {
        let place = self.lines.place(value.span().start);
        let text = match value.get_ref() {
            DeValue::String(raw) => Some(self.expanded(raw, place)?),
            _ => None,
        };
        self.convert(kind, value.get_ref(), text).map_err(|wrong| match wrong {
            Wrong::Because(problem) => problem,
            Wrong::Expected(expected) => {
                let found = format!("found {}", describe(value.get_ref()));
                Problem::new(Some(place), "", found).expected(expected)
            }
        })
    }

    fn convert(&self, kind: Kind, value: &DeValue<'_>, text: Option<Text>) -> Result<Value, Wrong> {
        match kind {
            Kind::Anything | Kind::Tables => Ok(text.map_or(Value::Unread, Value::Text)),
            Kind::Text => {
                text.filter(|text| !text.text.is_empty()).map(Value::Text).ok_or(expected("a text"))
            }
            Kind::TextOrInteger => match text {
                Some(text) => Ok(Value::Text(text)),
                None => integer(value).map(Value::Integer).ok_or(expected("a text or a whole number")),
            },
            Kind::Flag(_) => match value {
                DeValue::Boolean(flag) => Ok(Value::Flag(*flag)),
                _ => variable(text.as_ref()).map(Value::Flag).ok_or(expected("true or false")),
            },
            Kind::Integer(least, most, _) => {
                let number = integer(value).or_else(|| variable(text.as_ref()));
                within(number, least..=most, "a whole number").map(Value::Integer)
            }
            Kind::Seconds(least, most, _) => {
                let number = float(value).or_else(|| variable(text.as_ref()));
                within(number, least..=most, "a number of seconds").map(Value::Number)
            }
            Kind::Number(least, most) => {
                let number = float(value).or_else(|| variable(text.as_ref()));
                within(number, least..=most, "a number").map(Value::Number)
            }
            Kind::OneOf(numbers) => {
                let number = integer(value).or_else(|| variable(text.as_ref()));
                let list = numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
                number
                    .filter(|number| numbers.contains(number))
                    .map(Value::Integer)
                    .ok_or_else(|| Wrong::Expected(format!("one of {list}")))
            }
            Kind::Choice(words) => one_of(words, text),
            Kind::Words(words) => {
                let texts = match (text, value) {
                    (Some(text), _) => vec![text],
                    (None, DeValue::Array(list)) => self.texts(list).map_err(Wrong::Because)?,
                    _ => return Err(Wrong::Expected(format!("a list of some of {}", words.join(", ")))),
                };
                let known = texts.into_iter().map(|text| match one_of(words, Some(text))? {
                    Value::Text(text) => Ok(text),
                    _ => Err(expected("a word")),
                });
                known.collect::<Result<_, _>>().map(Value::Texts)
            }
            Kind::Address(example) => {
                let written =
                    text.map(|text| text.text).or_else(|| integer(value).map(|port| port.to_string()));
                written
                    .as_deref()
                    .and_then(address)
                    .map(Value::Address)
                    .ok_or_else(|| Wrong::Expected(format!("an IP address and a port such as \"{example}\"")))
            }
            Kind::AddressOrOff(example) => {
                if text.as_ref().is_some_and(|text| text.text == "off") {
                    return Ok(Value::Off);
                }
                let expected = format!("an IP address and a port such as \"{example}\", or \"off\"");
                self.convert(Kind::Address(example), value, text).map_err(|_| Wrong::Expected(expected))
            }
            Kind::Texts => match (text, value) {
                (Some(text), _) => Ok(Value::Texts(vec![text])),
                (None, DeValue::Array(list)) => self.texts(list).map(Value::Texts).map_err(Wrong::Because),
                _ => Err(expected("a list of texts")),
            },
        }
    }

    fn texts(&self, list: &DeArray<'_>) -> Result<Vec<Text>, Problem> {
        list.iter()
            .map(|item| {
                let place = self.lines.place(item.span().start);
                match item.get_ref() {
                    DeValue::String(raw) => self.expanded(raw, place),
                    other => {
                        let found = format!("found {}", describe(other));
                        Err(Problem::new(Some(place), "", found).expected("a list of texts"))
                    }
                }
            })
            .collect()
    }

    fn expanded(&self, raw: &str, place: Place) -> Result<Text, Problem> {
        let expanded = expand(raw, self.environment)
            .map_err(|error| Problem::new(Some(place), "", error.to_string()))?;
        Ok(Text { text: expanded.text, shown: hide_user(raw), secret: expanded.secret, place })
    }
}

fn expected(what: &str) -> Wrong {
    Wrong::Expected(what.to_owned())
}

/// A variable's value is always a text, so whatever is no text may be written as a text with a variable in it.
fn variable<T: FromStr>(text: Option<&Text>) -> Option<T> {
    text.filter(|text| text.secret)?.text.trim().parse().ok()
}

fn within<T: PartialOrd + std::fmt::Display>(
    number: Option<T>,
    range: RangeInclusive<T>,
    what: &str,
) -> Result<T, Wrong> {
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| Wrong::Expected(format!("{what} from {} to {}", range.start(), range.end())))
}

fn one_of(words: &[&str], text: Option<Text>) -> Result<Value, Wrong> {
    match text {
        Some(text) if words.contains(&text.text.as_str()) => Ok(Value::Text(text)),
        Some(text) => {
            let problem = Problem::new(Some(text.place), "", format!("found {}", text.quoted()));
            Err(Wrong::Because(problem.among(&text.shown, words.iter().copied())))
        }
        None => Err(Wrong::Expected(format!("one of {}", words.join(", ")))),
    }
}

/// `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, `:8080` or `8080`.
pub(super) fn address(text: &str) -> Option<SocketAddr> {
    let text = text.trim();
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
        return Some((Ipv4Addr::UNSPECIFIED, port).into());
    }
    match text.strip_prefix("localhost:") {
        Some(port) => Some((Ipv4Addr::LOCALHOST, port.parse().ok()?).into()),
        None => text.parse().ok(),
    }
}

/// An IP address, or `localhost`.
pub(super) fn host(text: &str) -> Option<IpAddr> {
    match text.trim() {
        "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        text => text.trim_matches(['[', ']']).parse().ok(),
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    match value {
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    }
}

fn float(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Float(number) => number.as_str().parse().ok(),
        // Every whole number within the ranges of the key tables is exact as a float.
        _ => integer(value).map(|number| number as f64),
    }
}

pub(super) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{:?}", short(&hide_user(text))),
        DeValue::Integer(number) => short(&number.to_string()),
        DeValue::Float(number) => short(number.as_str()),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(date) => date.to_string(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

/// `text`, cut at 100 characters: an error message must not be as long as the file.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
