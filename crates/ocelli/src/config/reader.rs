//! Walks the tables of a parsed TOML file against the key tables: every value is checked once, every problem is kept
//! with its place, and what comes out are sections whose values are right by construction.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::environment::expand;
use super::keys::{Key, Kind, OTHER_NAMES, Table};
use super::problem::{Place, Problem, Warning, nearest};
use crate::sources::hide_user;

/// A text of the file with its variables replaced.
#[derive(Clone)]
pub(super) struct Text {
    pub(super) text: String,
    /// As written, without user and password: may be shown.
    pub(super) shown: String,
    /// Whether variables were replaced, so that `text` and errors about it must not be shown.
    pub(super) secret: bool,
    pub(super) place: Place,
}

enum Value {
    Text(Text),
    Texts(Vec<Text>),
    Integer(i64),
    Seconds(f64),
    Flag(bool),
    Address(SocketAddr),
    Unread,
}

/// One table of the file, checked. A value that was wrong is a problem already and reads as if it were not there.
pub(super) struct Section {
    /// The table's full name: `cameras.front`.
    pub(super) path: String,
    /// Where the table begins; none when it is not there.
    pub(super) place: Option<Place>,
    keys: &'static [Key],
    values: BTreeMap<&'static str, (Place, Value)>,
}

/// Something asked for that this version does not have yet.
pub(super) struct PlannedUse {
    pub(super) feature: String,
    pub(super) key: String,
    pub(super) line: usize,
}

/// What has been found in a file so far.
pub(super) struct Reader<'a> {
    lines: Lines<'a>,
    environment: &'a dyn Fn(&str) -> Option<String>,
    /// A predecessor's file: unknown keys are warned about, not refused.
    pub(super) lenient: bool,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
    pub(super) planned: Vec<PlannedUse>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, environment: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            lines: Lines::new(text),
            environment,
            lenient: false,
            problems: Vec::new(),
            warnings: Vec::new(),
            planned: Vec::new(),
        }
    }

    /// The place of a byte of the file.
    pub(super) fn place(&self, byte: usize) -> Place {
        self.lines.place(byte)
    }

    pub(super) fn warn(&mut self, place: Option<Place>, text: impl Into<String>) {
        self.warnings.push(Warning { place, text: text.into() });
    }

    /// Keeps that `key` asks for `feature`, for the one warning at the end.
    pub(super) fn plan(&mut self, feature: impl Into<String>, key: impl Into<String>, place: Place) {
        self.planned.push(PlannedUse { feature: feature.into(), key: key.into(), line: place.line });
    }

    /// Reads `[name]` of the file's top level, which may be missing.
    pub(super) fn top(&mut self, root: &DeTable<'_>, table: Table) -> Section {
        match root.get_key_value(table.name) {
            Some((key, value)) => self.section(table.name, key, value, table.keys, &[]),
            None => {
                Section { path: table.name.into(), place: None, keys: table.keys, values: BTreeMap::new() }
            }
        }
    }

    /// Reads a table; `inner` are keys that the caller looks into itself.
    pub(super) fn section(
        &mut self,
        path: &str,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        keys: &'static [Key],
        inner: &[&str],
    ) -> Section {
        let place = self.place(key.span().start);
        let mut section = Section { path: path.into(), place: Some(place), keys, values: BTreeMap::new() };
        let DeValue::Table(table) = value.get_ref() else {
            let found = format!("found {}", describe(value.get_ref()));
            self.problems
                .push(Problem::new(Some(place), path, found).expected(format!("a table `[{path}]`")));
            return section;
        };
        for (name, value) in in_file_order(table) {
            let key_place = self.place(name.span().start);
            let full = format!("{path}.{}", short(name.get_ref()));
            let Some(key) = keys.iter().find(|key| key.name == name.get_ref().as_ref()) else {
                if !inner.contains(&name.get_ref().as_ref()) {
                    self.unknown(key_place, full, name.get_ref(), keys);
                }
                continue;
            };
            let place = self.place(value.span().start);
            match self.value(key.kind, value) {
                Ok(read) => {
                    if let Some(feature) = key.planned {
                        self.plan(feature, full, key_place);
                    }
                    section.values.insert(key.name, (place, read));
                }
                Err(problem) => self.problems.push(Problem { key: full, ..problem }),
            }
        }
        section
    }

    fn unknown(&mut self, place: Place, full: String, name: &str, keys: &[Key]) {
        if self.lenient {
            self.warn(Some(place), format!("{full}: ignored, Ocelli has no such setting"));
            return;
        }
        let known = || keys.iter().map(|key| key.name);
        let mut problem = Problem::new(Some(place), full, "unknown key").among(name, known());
        let other = OTHER_NAMES.iter().find(|(other, real)| *other == name && known().any(|k| k == *real));
        if let Some((_, real)) = other {
            problem.nearest = Some((*real).to_owned());
        }
        self.problems.push(problem);
    }

    /// Reads one value as a text, for values that stand outside a [`Section`].
    pub(super) fn text(&mut self, path: &str, value: &Spanned<DeValue<'_>>) -> Option<Text> {
        match self.value(Kind::Text, value) {
            Ok(Value::Text(text)) => Some(text),
            Ok(_) => None,
            Err(problem) => {
                self.problems.push(Problem { key: path.into(), ..problem });
                None
            }
        }
    }

    fn value(&self, kind: Kind, value: &Spanned<DeValue<'_>>) -> Result<Value, Problem> {
        let place = self.place(value.span().start);
        let wrong = |expected: String| {
            let found = format!("found {}", describe(value.get_ref()));
            Err(Problem::new(Some(place), "", found).expected(expected))
        };
        // A variable's value is always a text, so a number may be written as a text with a variable in it.
        let text = match value.get_ref() {
            DeValue::String(raw) => Some(self.expanded(raw, place)?),
            _ => None,
        };
        let from_variable = text.as_ref().filter(|text| text.secret).map(|text| text.text.trim());
        match kind {
            Kind::Anything | Kind::Tables => match text {
                Some(text) => Ok(Value::Text(text)),
                None => Ok(Value::Unread),
            },
            Kind::Text => match text {
                Some(text) if !text.text.is_empty() => Ok(Value::Text(text)),
                _ => wrong("a text".into()),
            },
            Kind::TextOrInteger => match (text, integer(value.get_ref())) {
                (Some(text), _) => Ok(Value::Text(text)),
                (None, Some(number)) => Ok(Value::Integer(number)),
                _ => wrong("a text or a whole number".into()),
            },
            Kind::Flag(_) => match (value.get_ref(), from_variable) {
                (DeValue::Boolean(flag), _) => Ok(Value::Flag(*flag)),
                (_, Some("true" | "1")) => Ok(Value::Flag(true)),
                (_, Some("false" | "0")) => Ok(Value::Flag(false)),
                _ => wrong("true or false".into()),
            },
            Kind::Integer(least, most, _) => {
                let number = integer(value.get_ref()).or_else(|| from_variable?.parse().ok());
                match number {
                    Some(number) if (least..=most).contains(&number) => Ok(Value::Integer(number)),
                    _ => wrong(format!("a whole number from {least} to {most}")),
                }
            }
            Kind::Seconds(least, most, _) => {
                let number = float(value.get_ref()).or_else(|| from_variable?.parse().ok());
                match number {
                    Some(number) if (least..=most).contains(&number) => Ok(Value::Seconds(number)),
                    _ => wrong(format!("a number of seconds from {least} to {most}")),
                }
            }
            Kind::Choice(words) => match text {
                Some(text) if words.contains(&text.text.as_str()) => Ok(Value::Text(text)),
                Some(text) => {
                    let problem = Problem::new(Some(place), "", format!("found {:?}", text.shown));
                    Err(problem.among(&text.shown, words.iter().copied()))
                }
                None => wrong(format!("one of {}", words.join(", "))),
            },
            Kind::Address(example) => {
                let bare = integer(value.get_ref()).map(|port| port.to_string());
                let written = text.as_ref().map(|text| text.text.as_str()).or(bare.as_deref());
                match written.and_then(address) {
                    Some(address) => Ok(Value::Address(address)),
                    None => wrong(format!("an IP address and a port such as \"{example}\"")),
                }
            }
            Kind::Texts => match (text, value.get_ref()) {
                (Some(text), _) => Ok(Value::Texts(vec![text])),
                (None, DeValue::Array(list)) => {
                    let mut texts = Vec::new();
                    for item in list.iter() {
                        let place = self.place(item.span().start);
                        let DeValue::String(raw) = item.get_ref() else {
                            let found = format!("found {}", describe(item.get_ref()));
                            return Err(Problem::new(Some(place), "", found).expected("a list of texts"));
                        };
                        texts.push(self.expanded(raw, place)?);
                    }
                    Ok(Value::Texts(texts))
                }
                _ => wrong("a list of texts".into()),
            },
        }
    }

    fn expanded(&self, raw: &str, place: Place) -> Result<Text, Problem> {
        let expanded = expand(raw, self.environment)
            .map_err(|error| Problem::new(Some(place), "", error.to_string()))?;
        Ok(Text { text: expanded.text, shown: short(&hide_user(raw)), secret: expanded.secret, place })
    }
}

impl Section {
    fn key(&self, name: &str) -> &'static Key {
        self.keys
            .iter()
            .find(|key| key.name == name)
            .expect("callers ask for keys of the section's own table")
    }

    /// Where the value of `name` stands, if it is there and right.
    pub(super) fn place_of(&self, name: &str) -> Option<Place> {
        self.values.get(name).map(|(place, _)| *place)
    }

    pub(super) fn text(&self, name: &str) -> Option<&Text> {
        match self.values.get(name) {
            Some((_, Value::Text(text))) => Some(text),
            _ => None,
        }
    }

    /// The word of a choice, or its default.
    pub(super) fn word(&self, name: &str) -> &str {
        match (self.text(name), self.key(name).kind) {
            (Some(text), _) => &text.text,
            (None, Kind::Choice(words)) => words[0],
            (None, _) => "",
        }
    }

    pub(super) fn texts(&self, name: &str) -> &[Text] {
        match self.values.get(name) {
            Some((_, Value::Texts(texts))) => texts,
            _ => &[],
        }
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        match (self.values.get(name), self.key(name).kind) {
            (Some((_, Value::Flag(flag))), _) => *flag,
            (_, Kind::Flag(default)) => default,
            _ => false,
        }
    }

    pub(super) fn address(&self, name: &str) -> Option<SocketAddr> {
        match (self.values.get(name), self.key(name).kind) {
            (Some((_, Value::Address(found))), _) => Some(*found),
            (_, Kind::Address(default)) => address(default),
            _ => None,
        }
    }

    /// A whole number that is within its key's range, or its default.
    pub(super) fn integer<T: TryFrom<i64>>(&self, name: &str) -> Option<T> {
        let number = match (self.values.get(name), self.key(name).kind) {
            (Some((_, Value::Integer(number))), _) => Some(*number),
            (_, Kind::Integer(_, _, default)) => default,
            _ => None,
        };
        number.and_then(|number| T::try_from(number).ok())
    }

    /// As [`integer`](Self::integer), without the default.
    pub(super) fn known_integer<T: TryFrom<i64>>(&self, name: &str) -> Option<T> {
        match self.values.get(name) {
            Some((_, Value::Integer(number))) => T::try_from(*number).ok(),
            _ => None,
        }
    }

    pub(super) fn seconds(&self, name: &str) -> Duration {
        let seconds = match (self.values.get(name), self.key(name).kind) {
            (Some((_, Value::Seconds(seconds))), _) => *seconds,
            (_, Kind::Seconds(_, _, default)) => default,
            _ => 0.0,
        };
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }
}

/// A table's entries as they stand in the file; the parser gives them by name.
pub(super) fn in_file_order<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(&'t Spanned<std::borrow::Cow<'i, str>>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// A problem with a table that is not there at all, among those that may be.
pub(super) fn unknown_table(place: Place, found: &str, known: &[&str]) -> Problem {
    let mut problem = Problem::new(Some(place), short(found), "unknown table");
    problem.nearest = nearest(found, known).map(str::to_owned);
    problem.expected(format!("one of {}", known.join(", ")))
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

fn describe(value: &DeValue<'_>) -> String {
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

/// Turns bytes of the file into lines and columns.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let after = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(index, _)| index + 1);
        Self { text, starts: std::iter::once(0).chain(after).collect() }
    }

    fn place(&self, byte: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= byte).max(1);
        let before = self.text.get(self.starts[line - 1]..byte).unwrap_or_default();
        Place { line, column: before.chars().count() + 1 }
    }
}
