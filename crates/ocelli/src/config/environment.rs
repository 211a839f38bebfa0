//! `${NAME}` in a value: replaced from the environment; `$${` stands for a literal `${`.
//!
//! A value of the environment is never shown: errors name the variable only.

/// A text whose variables could not be replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EnvironmentError {
    #[error("the environment variable `{0}` is not set")]
    Unset(String),
    #[error("`${{` is not followed by a name and `}}` (write `$${{` for a literal `${{`)")]
    Broken,
}

/// A text with its variables replaced.
pub(super) struct Expanded {
    pub(super) text: String,
    /// Whether any variable was replaced, so that `text` must not be shown.
    pub(super) secret: bool,
}

/// Replaces the variables in `raw`.
pub(super) fn expand(
    raw: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Expanded, EnvironmentError> {
    let mut text = String::with_capacity(raw.len());
    let mut secret = false;
    let mut left = raw;
    while let Some(start) = left.find("${") {
        let (before, rest) = left.split_at(start);
        let rest = &rest[2..];
        if let Some(before) = before.strip_suffix('$') {
            text.push_str(before);
            text.push_str("${");
            left = rest;
            continue;
        }
        text.push_str(before);
        let (name, rest) = rest.split_once('}').ok_or(EnvironmentError::Broken)?;
        let valid = name
            .bytes()
            .enumerate()
            .all(|(index, b)| b == b'_' || b.is_ascii_alphabetic() || (index > 0 && b.is_ascii_digit()));
        if name.is_empty() || !valid {
            return Err(EnvironmentError::Broken);
        }
        text.push_str(&environment(name).ok_or_else(|| EnvironmentError::Unset(name.to_owned()))?);
        secret = true;
        left = rest;
    }
    text.push_str(left);
    Ok(Expanded { text, secret })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(raw: &str) -> Result<String, EnvironmentError> {
        let environment = |name: &str| (name == "PASSWORD").then(|| "a${b}".to_owned());
        expand(raw, &environment).map(|e| e.text)
    }

    #[test]
    fn variables_are_replaced_once_and_can_be_escaped() {
        assert_eq!(expanded("x").unwrap(), "x");
        assert_eq!(expanded("http://u:${PASSWORD}@h $1 $").unwrap(), "http://u:a${b}@h $1 $");
        assert_eq!(expanded("$${PASSWORD}").unwrap(), "${PASSWORD}");
    }

    #[test]
    fn what_is_unset_or_broken_is_named() {
        assert_eq!(expanded("${HOME}"), Err(EnvironmentError::Unset("HOME".into())));
        for broken in ["${", "${}", "${a b}", "${1}", "é${é}"] {
            assert_eq!(expanded(broken), Err(EnvironmentError::Broken), "{broken}");
        }
    }
}
