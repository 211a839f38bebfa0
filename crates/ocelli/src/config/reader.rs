//! Walks the tables of a parsed TOML file against the key tables: every value is checked once, every problem is kept
//! with its place, and what comes out are sections whose values are right by construction.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Key, Kind, OTHER_NAMES, Table};
use super::problem::{Place, Problem, Warning, nearest};
use super::section::{Section, Text, Value};
use super::value::{Values, describe, short};

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
            match self.values().read(key.kind, value) {
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

    fn values(&self) -> Values<'_> {
        Values { lines: &self.lines, environment: self.environment }
    }

    /// Reads one value as a text, for values that stand outside a [`Section`].
    pub(super) fn text(&mut self, path: &str, value: &Spanned<DeValue<'_>>) -> Option<Text> {
        match self.values().read(Kind::Text, value) {
            Ok(Value::Text(text)) => Some(text),
            Ok(_) => None,
            Err(problem) => {
                self.problems.push(Problem { key: path.into(), ..problem });
                None
            }
        }
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

/// Turns bytes of the file into lines and columns.
pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let after = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(index, _)| index + 1);
        Self { text, starts: std::iter::once(0).chain(after).collect() }
    }

    pub(super) fn place(&self, byte: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= byte).max(1);
        let before = self.text.get(self.starts[line - 1]..byte).unwrap_or_default();
        Place { line, column: before.chars().count() + 1 }
    }
}
