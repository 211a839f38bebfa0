//! One table of the file, checked: typed values, with the defaults of the key tables where there is none.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::keys::{Key, Kind};
use super::problem::Place;
use super::value::{address, short};

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

pub(super) enum Value {
    Text(Text),
    Texts(Vec<Text>),
    Integer(i64),
    Number(f64),
    Flag(bool),
    Address(SocketAddr),
    Off,
    Unread,
}

/// One table of the file, checked. A value that was wrong is a problem already and reads as if it were not there.
pub(super) struct Section {
    /// The table's full name: `cameras.front`.
    pub(super) path: String,
    /// Where the table begins; none when it is not there.
    pub(super) place: Option<Place>,
    pub(super) keys: &'static [Key],
    pub(super) values: BTreeMap<&'static str, (Place, Value)>,
}

impl Text {
    /// As it may stand in an error.
    pub(super) fn quoted(&self) -> String {
        format!("{:?}", short(&self.shown))
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

    /// An address, or its default, unless it is off.
    pub(super) fn address_unless_off(&self, name: &str) -> Option<SocketAddr> {
        match (self.values.get(name), self.key(name).kind) {
            (Some((_, Value::Address(found))), _) => Some(*found),
            (Some((_, Value::Off)), _) => None,
            (_, Kind::AddressOrOff(default)) => address(default),
            _ => None,
        }
    }

    /// A whole number that is within its key's range, or its default.
    pub(super) fn integer<T: TryFrom<i64>>(&self, name: &str) -> Option<T> {
        let number = match (self.values.get(name), self.key(name).kind) {
            (Some((_, Value::Integer(number))), _) => Some(*number),
            (_, Kind::Integer(_, _, default)) => default,
            (_, Kind::OneOf(numbers)) => numbers.first().copied(),
            _ => None,
        };
        number.and_then(|number| T::try_from(number).ok())
    }

    /// A number that is within its key's range.
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        match self.values.get(name) {
            Some((_, Value::Number(number))) => Some(*number),
            _ => None,
        }
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
            (Some((_, Value::Number(seconds))), _) => *seconds,
            (_, Kind::Seconds(_, _, Some(default))) => default,
            _ => 0.0,
        };
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }
}
