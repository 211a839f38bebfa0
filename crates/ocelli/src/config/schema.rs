//! The JSON schema of a configuration file, for editors. Made of the key tables that the loader itself reads by.

use serde_json::{Map, Value, json};

use super::NAME_PATTERN;
use super::keys::{CAMERA, Key, Kind, TABLES, Table, VARIANT};

/// The schema (draft 2020-12) of Ocelli's own tables. A predecessor's file is not described by it.
pub fn schema() -> Value {
    let mut tables: Map<String, Value> =
        TABLES.iter().map(|table| (table.name.to_owned(), describe(table))).collect();
    let mut camera = describe(&CAMERA);
    camera["required"] = json!(["source"]);
    camera["properties"][VARIANT.name] = json!({
        "type": "object",
        "description": VARIANT.about,
        "patternProperties": { NAME_PATTERN: describe(&VARIANT) },
        "additionalProperties": false,
    });
    let shorthand = json!({ "type": "string", "description": "A camera with nothing but a source." });
    tables.insert(
        CAMERA.name.to_owned(),
        json!({
            "type": "object",
            "description": "The cameras by name.",
            "patternProperties": { NAME_PATTERN: { "anyOf": [camera, shorthand] } },
            "additionalProperties": false,
        }),
    );
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Ocelli configuration",
        "type": "object",
        "properties": tables,
        "additionalProperties": false,
    })
}

fn describe(table: &Table) -> Value {
    let keys: Map<String, Value> = table.keys.iter().map(|key| (key.name.to_owned(), value(key))).collect();
    json!({
        "type": "object",
        "description": table.about,
        "properties": keys,
        "additionalProperties": false,
    })
}

/// A number may also be a text that holds a variable.
fn or_variable(mut number: Value, range: Value) -> Value {
    let Value::Object(range) = range else { return number };
    if let Value::Object(number) = &mut number {
        number.extend(range);
    }
    json!({ "anyOf": [number, { "type": "string", "pattern": "\\$\\{" }] })
}

fn value(key: &Key) -> Value {
    let mut described = match key.kind {
        Kind::Text => json!({ "type": "string", "minLength": 1 }),
        Kind::Address(default) | Kind::AddressOrOff(default) => json!({
            "anyOf": [{ "type": "string" }, { "type": "integer", "minimum": 0, "maximum": 65_535 }],
            "default": default,
        }),
        Kind::Flag(default) => {
            let mut flag = or_variable(json!({ "type": "boolean" }), json!({}));
            flag["default"] = default.into();
            flag
        }
        Kind::Integer(least, most, default) => {
            let mut number =
                or_variable(json!({ "type": "integer" }), json!({ "minimum": least, "maximum": most }));
            if let Some(default) = default {
                number["default"] = default.into();
            }
            number
        }
        Kind::Seconds(least, most, default) => {
            let mut number =
                or_variable(json!({ "type": "number" }), json!({ "minimum": least, "maximum": most }));
            if let Some(default) = default {
                number["default"] = default.into();
            }
            number
        }
        Kind::Number(least, most) => {
            or_variable(json!({ "type": "number" }), json!({ "minimum": least, "maximum": most }))
        }
        Kind::Choice(words) => json!({ "enum": words, "default": words[0] }),
        Kind::OneOf(numbers) => {
            let mut number = or_variable(json!({}), json!({ "enum": numbers }));
            number["default"] = numbers[0].into();
            number
        }
        Kind::Words(words) => json!({
            "anyOf": [{ "type": "array", "items": { "enum": words } }, { "enum": words }],
        }),
        Kind::Texts => json!({
            "anyOf": [{ "type": "array", "items": { "type": "string" } }, { "type": "string" }],
        }),
        Kind::TextOrInteger => json!({ "type": ["string", "integer"] }),
        Kind::Tables => json!({ "type": "object" }),
        Kind::Anything => json!({}),
    };
    let about = match key.planned {
        Some(feature) => format!("{} (Not there yet: {feature}.)", key.about),
        None => key.about.to_owned(),
    };
    described["description"] = about.into();
    described
}
