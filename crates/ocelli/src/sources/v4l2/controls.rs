//! A camera's controls: brightness, exposure and so on, by the names that `v4l2-ctl` gives them.

use std::fmt;

use ocelli_hub::SourceError;
use rustix::io::Errno;

use super::sys::Device;

/// A control of a camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    id: u32,
    /// Its name in a source's text, behind `ctrl.`: lower case, `_` for what is no letter or digit.
    pub name: String,
    /// What values it takes.
    pub kind: ControlKind,
    /// Its value when the list was made; `None` where it has none to read.
    pub value: Option<i32>,
    /// Its value when the camera is reset.
    pub default: i32,
}

/// What values a control takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlKind {
    /// Whole numbers.
    Integer {
        /// The least.
        least: i32,
        /// The greatest.
        most: i32,
        /// The distance between two values.
        step: i32,
    },
    /// On or off.
    Boolean,
    /// One of these numbers, which stand for these names.
    Menu(Vec<(i32, String)>),
    /// Does something when it is set, to any value.
    Button,
}

const DISABLED: u32 = 0x1;
const READ_ONLY: u32 = 0x4;
const WRITE_ONLY: u32 = 0x40;

/// The controls that can be set, in the driver's order. At most 1000: a driver that lists the same for ever is stopped.
pub(super) fn list(device: &Device) -> Result<Vec<Control>, Errno> {
    let mut controls = Vec::new();
    let mut id = 0;
    for _ in 0..1000 {
        let Some(found) = device.control_after(id)? else { break };
        id = found.id;
        if found.flags & (DISABLED | READ_ONLY) != 0 {
            continue;
        }
        let kind = match found.kind {
            1 | 8 => ControlKind::Integer { least: found.least, most: found.most, step: found.step.max(1) },
            2 => ControlKind::Boolean,
            3 => ControlKind::Menu(menu(device, id, found.least, found.most, false)?),
            9 => ControlKind::Menu(menu(device, id, found.least, found.most, true)?),
            4 => ControlKind::Button,
            _ => continue,
        };
        let readable = found.flags & WRITE_ONLY == 0 && kind != ControlKind::Button;
        controls.push(Control {
            id,
            name: simple_name(&found.name),
            kind,
            value: if readable { device.control(id).ok() } else { None },
            default: found.default,
        });
    }
    Ok(controls)
}

fn menu(device: &Device, id: u32, least: i32, most: i32, numbers: bool) -> Result<Vec<(i32, String)>, Errno> {
    let mut entries = Vec::new();
    for index in least.max(0)..=most.min(255) {
        // Menus have holes: some webcams list entries that they then say they do not have.
        let Some(name) = device.menu_item(id, index as u32)? else { continue };
        let text = if numbers {
            let mut value = [0; 8];
            value.copy_from_slice(&name[..8]);
            i64::from_ne_bytes(value).to_string()
        } else {
            text(&name)
        };
        entries.push((index, text));
    }
    Ok(entries)
}

/// Sets the control called `name` to what `value` stands for: a number, on or off, or a menu entry's name or number.
///
/// # Errors
/// There is no such control (the error names the nearest), it does not take the value (the error says which it takes),
/// or the driver refuses.
pub(super) fn set(device: &Device, controls: &[Control], name: &str, value: &str) -> Result<(), SourceError> {
    let Some(control) = controls.iter().find(|control| control.name == name) else {
        let nearest = controls
            .iter()
            .map(|control| (strsim::damerau_levenshtein(name, &control.name), control.name.as_str()))
            .min()
            .filter(|(distance, _)| *distance <= 3)
            .map(|(_, name)| format!("; did you mean `{name}`?"));
        let known = || {
            let names: Vec<&str> = controls.iter().map(|control| control.name.as_str()).collect();
            format!(" (it has: {})", names.join(", "))
        };
        let hint = nearest.unwrap_or_else(known);
        return Err(SourceError::refused(format!("the camera has no control `{name}`{hint}")));
    };
    let number = control
        .number(value)
        .ok_or_else(|| SourceError::refused(format!("ctrl.{name}={value}: expected {}", control.kind)))?;
    match device.set_control(control.id, number) {
        Ok(()) => Ok(()),
        // The control is taken by another: an exposure time while exposure is automatic.
        Err(Errno::BUSY | Errno::ACCESS | Errno::INVAL) => Err(SourceError::refused(format!(
            "the camera does not take ctrl.{name}={value} now; does another control have to be set before it?"
        ))),
        Err(error) => Err(SourceError::lost(format!("ctrl.{name}={value}: {error}"))),
    }
}

impl Control {
    #[cfg(test)]
    pub(super) fn for_test(name: &str, kind: ControlKind, value: i32) -> Self {
        Self { id: 1, name: name.to_owned(), kind, value: Some(value), default: value }
    }

    fn number(&self, value: &str) -> Option<i32> {
        let number = value.parse::<i32>().ok();
        match &self.kind {
            ControlKind::Integer { least, most, .. } => number.filter(|n| (least..=most).contains(&n)),
            ControlKind::Boolean => match value {
                "1" | "true" | "yes" | "on" => Some(1),
                "0" | "false" | "no" | "off" => Some(0),
                _ => None,
            },
            ControlKind::Menu(entries) => entries
                .iter()
                .find(|(index, name)| Some(*index) == number || name.eq_ignore_ascii_case(value))
                .map(|(index, _)| *index),
            ControlKind::Button => Some(number.unwrap_or(1)),
        }
    }
}

impl fmt::Display for ControlKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer { least, most, .. } => write!(f, "{least} to {most}"),
            Self::Boolean => f.write_str("on or off"),
            Self::Menu(entries) => {
                let entries: Vec<String> =
                    entries.iter().map(|(index, name)| format!("{index} ({name})")).collect();
                f.write_str(&entries.join(", "))
            }
            Self::Button => f.write_str("1"),
        }
    }
}

/// The kernel's text up to its zero byte.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
}

/// As `v4l2-ctl` does it: "White Balance, Automatic" becomes `white_balance_automatic`.
fn simple_name(name: &[u8]) -> String {
    let mut out = String::new();
    for c in text(name).chars() {
        if c.is_alphanumeric() {
            out.extend(c.to_lowercase());
        } else if !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
    }
    out.trim_end_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(kind: ControlKind) -> Control {
        Control::for_test("x", kind, 0)
    }

    #[test]
    fn names_are_those_of_v4l2_ctl() {
        assert_eq!(simple_name(b"White Balance, Automatic\0rest"), "white_balance_automatic");
        assert_eq!(simple_name(b"Exposure (Absolute)\0"), "exposure_absolute");
        assert_eq!(simple_name(&[b'a'; 32]), "a".repeat(32));
    }

    #[test]
    fn values_are_numbers_words_or_menu_entries() {
        let integer = control(ControlKind::Integer { least: -5, most: 255, step: 1 });
        assert_eq!(
            (integer.number("-5"), integer.number("256"), integer.number("on")),
            (Some(-5), None, None)
        );
        let boolean = control(ControlKind::Boolean);
        assert_eq!(
            (boolean.number("on"), boolean.number("0"), boolean.number("2")),
            (Some(1), Some(0), None)
        );
        let menu =
            control(ControlKind::Menu(vec![(1, "Manual Mode".into()), (3, "Aperture Priority".into())]));
        assert_eq!(
            (menu.number("manual mode"), menu.number("3"), menu.number("2")),
            (Some(1), Some(3), None)
        );
        assert_eq!(menu.kind.to_string(), "1 (Manual Mode), 3 (Aperture Priority)");
        assert_eq!(control(ControlKind::Button).number("1"), Some(1));
    }
}
