//! The examples load, and what is written down about the configuration is what the loader does.

use std::path::{Path, PathBuf};

use ocelli::capture::{Machine, System};
use ocelli::cli::ServeArgs;
use ocelli::config::keys::{CAMERA, Key, Kind, TABLES, Table, VARIANT};
use ocelli::config::{Config, Surroundings, from_text, load, schema};

/// A machine with every camera program.
struct Everything;

impl Machine for Everything {
    fn system(&self) -> System {
        System::Linux
    }

    fn has_program(&self, _name: &str) -> bool {
        true
    }

    fn has_path(&self, _path: &Path) -> bool {
        true
    }
}

const AROUND: Surroundings<'_> = Surroundings {
    environment: &|name| ["YARD_PASSWORD", "SRT_PASSPHRASE"].contains(&name).then(|| "secret".into()),
    machine: &Everything,
};

fn project(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file)
}

fn text(file: &str) -> String {
    std::fs::read_to_string(project(file)).expect("the file is part of the project")
}

fn example(name: &str) -> Config {
    let args = ServeArgs { config: Some(project("examples").join(name)), ..ServeArgs::default() };
    load(&args, AROUND).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn every_example_loads() {
    let mut names: Vec<String> = std::fs::read_dir(project("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort();
    assert!(names.len() >= 8, "{names:?}");
    for name in names {
        let config = example(&name);
        assert_eq!(config.chosen, None, "{name} names its cameras");
        let predecessor = name == "mjpeg-rtp-sender.toml" || name == "rtsp-in-the-browser.toml";
        let first = text(&format!("examples/{name}")).lines().next().unwrap_or_default().to_owned();
        assert_eq!(first.starts_with("#:schema "), !predecessor, "{name}: {first}");
    }
}

#[test]
fn the_predecessors_examples_say_in_one_warning_what_is_not_there_yet() {
    for (name, expected) in [("mjpeg-rtp-sender.toml", &[][..]), ("rtsp-in-the-browser.toml", &["WebSocket"])]
    {
        let config = example(name);
        let missing: Vec<String> = config
            .warnings
            .iter()
            .map(ToString::to_string)
            .filter(|warning| warning.contains("not there yet"))
            .collect();
        assert_eq!(missing.len(), usize::from(!expected.is_empty()), "{name}: {missing:?}");
        for feature in expected {
            assert!(missing[0].contains(feature), "{name}: {missing:?}");
        }
    }
}

#[test]
fn configurations_in_the_documents_load() {
    for document in ["README.md", "docs/configuration.md", "docs/rtp.md"] {
        let text = text(document);
        let blocks: Vec<&str> = text
            .split("```toml\n")
            .skip(1)
            .map(|rest| rest.split("```").next().unwrap_or_default())
            .collect();
        assert!(!blocks.is_empty(), "{document}");
        for block in blocks {
            let args = ServeArgs { config: Some(document.into()), ..ServeArgs::default() };
            if let Err(errors) = from_text(block, &args, AROUND) {
                panic!("{errors}\nin\n{block}");
            }
        }
    }
}

#[test]
fn the_schema_kept_with_the_documents_is_current() {
    let expected = format!("{:#}\n", schema());
    assert!(
        text("docs/ocelli.schema.json") == expected,
        "docs/ocelli.schema.json is old: run `cargo run -p ocelli -- check --schema > docs/ocelli.schema.json`"
    );
}

#[test]
fn every_key_is_documented_with_its_range_and_default() {
    let document = text("docs/configuration.md");
    for table in TABLES.iter().chain([&CAMERA, &VARIANT]) {
        let expected = documented(table);
        assert!(document.contains(&expected), "docs/configuration.md should hold these lines:\n{expected}");
    }
}

/// A table's keys as the document lists them.
fn documented(table: &Table) -> String {
    let mut lines = "| key | value | default | meaning |\n|---|---|---|---|\n".to_owned();
    for key in table.keys {
        let (value, default) = described(key);
        let planned =
            key.planned.map(|feature| format!(" **Not there yet** ({feature}).")).unwrap_or_default();
        lines.push_str(&format!("| `{}` | {value} | {default} | {}{planned} |\n", key.name, key.about));
    }
    lines
}

fn described(key: &Key) -> (String, String) {
    let code = |text: &str| format!("`{text}`");
    match key.kind {
        Kind::Text => ("text".into(), String::new()),
        Kind::Address(default) => ("`\"address:port\"` or a port".into(), code(&format!("\"{default}\""))),
        Kind::AddressOrOff(default) => {
            ("`\"address:port\"`, a port or `\"off\"`".into(), code(&format!("\"{default}\"")))
        }
        Kind::Flag(default) => ("`true` or `false`".into(), code(&default.to_string())),
        Kind::Integer(least, most, default) => (
            format!("{least} to {most}"),
            default.map(|default| code(&default.to_string())).unwrap_or_default(),
        ),
        Kind::Seconds(least, most, default) => (
            format!("seconds, {least} to {most}"),
            default.map(|default| code(&default.to_string())).unwrap_or_default(),
        ),
        Kind::Choice(words) => {
            let words: Vec<String> = words.iter().map(|word| code(&format!("\"{word}\""))).collect();
            (words.join(", "), words[0].clone())
        }
        Kind::Number(least, most) => (format!("{least} to {most}"), String::new()),
        Kind::OneOf(numbers) => {
            let numbers: Vec<String> = numbers.iter().map(|number| code(&number.to_string())).collect();
            (numbers.join(", "), numbers[0].clone())
        }
        Kind::Words(words) => {
            let words: Vec<String> = words.iter().map(|word| code(&format!("\"{word}\""))).collect();
            (format!("list of {}", words.join(", ")), "`[]`".into())
        }
        Kind::Texts => ("list of texts".into(), "`[]`".into()),
        Kind::TextOrInteger => ("text or whole number".into(), String::new()),
        Kind::Tables => ("tables".into(), String::new()),
        Kind::Anything => ("anything".into(), String::new()),
    }
}
