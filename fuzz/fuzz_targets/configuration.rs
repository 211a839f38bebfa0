//! No text makes the configuration's loader panic; a refused one has a problem to show; no variable's value is shown.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use ocelli::capture::{Machine, System};
use ocelli::cli::ServeArgs;
use ocelli::config::{Surroundings, from_text};

/// What stands in the environment. Long enough not to be in the input or in a message by chance.
const SECRET: &str = "a6f1c09e5d";

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

fuzz_target!(|text: &str| {
    if text.contains(SECRET) {
        return;
    }
    let environment = |name: &str| (name == "SECRET").then(|| SECRET.to_owned());
    let around = Surroundings { environment: &environment, machine: &Everything };
    let args = ServeArgs { config: Some("fuzz.toml".into()), ..ServeArgs::default() };
    match from_text(text, &args, around) {
        Ok(config) => {
            assert!(!config.cameras.is_empty());
            for warning in &config.warnings {
                assert!(!warning.to_string().contains(SECRET));
            }
        }
        Err(errors) => {
            assert!(!errors.problems.is_empty());
            assert!(!errors.to_string().contains(SECRET));
        }
    }
});
