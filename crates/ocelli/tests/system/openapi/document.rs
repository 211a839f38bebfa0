//! An OpenAPI 3.1 document: whether it is sound, and whether an answer is what it describes.
//!
//! Of JSON Schema it knows what the document uses; a keyword that it does not know fails the test instead of going
//! unchecked. It is stricter than the document: a member that is not described is an error here, while clients are
//! told to ignore it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::client::Response;

pub(super) struct Document(Value);

impl Document {
    pub(super) fn new(document: Value) -> Self {
        Self(document)
    }

    /// Every address.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        members(&self.0["paths"]).map(|(path, _)| path)
    }

    /// The name of every member of every object that is answered.
    pub(super) fn members(&self) -> impl Iterator<Item = &str> {
        let schemas = members(&self.0["components"]["schemas"]);
        schemas
            .filter_map(|(_, schema)| schema.get("properties"))
            .flat_map(|of| members(of).map(|(name, _)| name))
    }

    /// Looks at what every document must have.
    pub(super) fn is_openapi(&self) {
        assert!(self.0["openapi"].as_str().unwrap().starts_with("3.1."), "{}", self.0["openapi"]);
        for key in ["title", "version"] {
            assert!(self.0["info"][key].is_string(), "info.{key}");
        }
        let known = ["openapi", "info", "servers", "tags", "paths", "components"];
        for (key, _) in members(&self.0) {
            assert!(known.contains(&key), "{key} has no place in the document");
        }
    }

    /// Looks that what is referred to is there, and that what is there is referred to.
    pub(super) fn references_resolve_and_nothing_is_unused(&self) {
        let mut used = BTreeSet::new();
        references(&self.0, &mut used);
        for reference in &used {
            assert!(self.0.pointer(&reference[1..]).is_some(), "{reference} is not there");
        }
        for (kind, components) in members(&self.0["components"]) {
            for (name, _) in members(components) {
                let reference = format!("#/components/{kind}/{name}");
                assert!(used.contains(reference.as_str()), "{reference} is never used");
            }
        }
    }

    /// Looks that every operation has a name of its own, answers, and the parameters of its address.
    pub(super) fn operations_are_whole(&self) {
        let tags: Vec<&Value> = self.0["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
        let mut names = BTreeSet::new();
        for (path, item) in members(&self.0["paths"]) {
            assert!(path.starts_with('/'), "{path}");
            assert!(item["get"].is_object(), "{path} cannot be read");
            for (method, operation) in members(item) {
                let path = format!("{method} {path}");
                assert!(
                    names.insert(operation["operationId"].as_str().unwrap()),
                    "{path}: a name used twice"
                );
                assert!(operation["summary"].is_string(), "{path} has no summary");
                assert!(
                    operation["tags"].as_array().unwrap().iter().all(|tag| tags.contains(&tag)),
                    "{path}: tags"
                );
                for (status, response) in members(&operation["responses"]) {
                    assert!((200..600).contains(&status.parse::<u16>().unwrap()), "{path}: {status}");
                    assert!(self.resolve(response)["description"].is_string(), "{path}: {status}");
                }
                assert!(operation["responses"]["200"].is_object(), "{path}: no answer");
                self.parameters_are_those_of(&path, operation);
            }
        }
    }

    fn parameters_are_those_of(&self, path: &str, operation: &Value) {
        let stated: BTreeSet<&str> =
            path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        let mut described = BTreeSet::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten().map(|one| self.resolve(one))
        {
            let name = parameter["name"].as_str().unwrap();
            assert!(
                parameter["schema"].is_object() && parameter["description"].is_string(),
                "{path}: {name}"
            );
            match parameter["in"].as_str().unwrap() {
                "path" => {
                    assert_eq!(parameter["required"], true, "{path}: {name}");
                    described.insert(name);
                }
                "query" | "header" => assert!(parameter.get("required").is_none(), "{path}: {name}"),
                place => panic!("{path}: {name} in {place}"),
            }
        }
        assert_eq!(described, stated, "{path}");
    }

    /// Looks that each object requires all its members: the server leaves none out.
    pub(super) fn members_are_all_required(&self) {
        for (name, schema) in members(&self.0["components"]["schemas"]) {
            let Some(properties) = schema.get("properties") else { continue };
            let described: BTreeSet<&str> = members(properties).map(|(member, _)| member).collect();
            let required =
                schema["required"].as_array().unwrap().iter().map(|member| member.as_str().unwrap());
            assert_eq!(required.collect::<BTreeSet<_>>(), described, "{name}");
        }
    }

    /// Looks that `response` is one of the answers that GET of `path` is described with, its body too if it has one.
    pub(super) fn describes(&self, path: &str, response: &Response, has_body: bool) {
        self.describes_answer("get", path, response, has_body);
    }

    /// The same of another method, in lower case.
    pub(super) fn describes_answer(&self, method: &str, path: &str, response: &Response, has_body: bool) {
        let at = format!("{method} {path}, {}", response.status);
        let described = &self.0["paths"][path][method]["responses"][response.status.to_string()];
        assert!(described.is_object(), "{at} is not described: {response:?}");
        let described = self.resolve(described);
        for (name, header) in described.get("headers").into_iter().flat_map(members) {
            // Where nothing else is said, it is always there.
            let may_lack = self.resolve(header)["required"] == false;
            assert!(may_lack || response.header(&name.to_ascii_lowercase()).is_some(), "{at}: no {name}");
        }
        let Some(content) = described.get("content") else { return };
        let media_type =
            response.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
        let media = content.get(media_type).unwrap_or_else(|| panic!("{at}: {media_type} is not described"));
        match media.get("schema") {
            Some(schema) if has_body && media_type == "application/json" => {
                self.matches(schema, &response.json(), &at);
            }
            _ => {}
        }
    }

    /// Looks that `value` is what `schema` describes, and nothing more.
    fn matches(&self, schema: &Value, value: &Value, at: &str) {
        for (keyword, rule) in members(schema) {
            match keyword {
                "description" => {}
                "$ref" => self.matches(self.resolve(schema), value, at),
                "type" => {
                    let is = |name: &Value| name == kind(value) || (name == "number" && value.is_number());
                    assert!(
                        rule.as_array().map_or(is(rule), |names| names.iter().any(is)),
                        "{at}: {value} is no {rule}"
                    );
                }
                "enum" => {
                    assert!(rule.as_array().unwrap().contains(value), "{at}: {value} is none of {rule}");
                }
                "const" => assert_eq!(value, rule, "{at}"),
                "minimum" => assert!(
                    value.as_f64().is_none_or(|value| value >= rule.as_f64().unwrap()),
                    "{at}: {value}"
                ),
                "maximum" => assert!(
                    value.as_f64().is_none_or(|value| value <= rule.as_f64().unwrap()),
                    "{at}: {value}"
                ),
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.matches(rule, item, &format!("{at}[{index}]"));
                    }
                }
                // It says something of objects only.
                "required" if !value.is_object() => {}
                "required" => {
                    for name in rule.as_array().unwrap() {
                        assert!(value.get(name.as_str().unwrap()).is_some(), "{at} has no {name}");
                    }
                }
                "properties" => {
                    for (name, member) in members(value) {
                        let described =
                            rule.get(name).unwrap_or_else(|| panic!("{at}.{name} is not described"));
                        self.matches(described, member, &format!("{at}.{name}"));
                    }
                }
                other => panic!("{at}: what `{other}` means is not known here"),
            }
        }
    }

    /// What `value` refers to, or itself.
    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value.get("$ref") {
            Some(reference) => self.0.pointer(&reference.as_str().unwrap()[1..]).unwrap(),
            None => value,
        }
    }
}

fn members(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    object.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
        found.insert(reference);
    }
    members(value).for_each(|(_, member)| references(member, found));
    value.as_array().into_iter().flatten().for_each(|item| references(item, found));
}

/// What a JSON value is called in a schema.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
