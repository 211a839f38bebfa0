//! Whose requests may change something, as long as there is no login: programs, and pages that are the server's own or that the
//! configuration names.
//!
//! A page of another origin must not be able to send a camera's pictures elsewhere through the browser of somebody who can
//! reach the server. Browsers name the page's origin with every request that changes something, and ask before they send one
//! across origins. That a page's origin is the host it asks is not enough: a name that its owner lets point to this machine
//! (DNS rebinding) makes both equal. So the host must be one that is nobody else's to give: an address, or this machine's
//! own name.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, StatusCode, header};

use super::error::ApiError;
use crate::config::Cors;

/// Who may change something.
#[derive(Clone, Debug)]
pub(super) struct Changers(Arc<Allowed>);

#[derive(Debug)]
struct Allowed {
    /// Origins that the configuration names, in lower case.
    origins: Vec<String>,
    /// This machine's name, in lower case.
    machine: String,
}

impl Changers {
    /// As `cors` says; that everybody may read lets nobody change anything.
    pub(super) fn new(cors: &Cors, machine: &str) -> Self {
        let origins = match cors {
            Cors::Origins(origins) => origins.clone(),
            Cors::None | Cors::Any => Vec::new(),
        };
        Self(Arc::new(Allowed { origins, machine: machine.to_ascii_lowercase() }))
    }

    /// Whether the request with `headers` may change something.
    ///
    /// # Errors
    /// It is a page's, and none of those: 403.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let origin = String::from_utf8_lossy(origin.as_bytes()).to_ascii_lowercase();
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if self.0.origins.contains(&origin) || self.is_own(&origin, host) {
            return Ok(());
        }
        let origin: String = origin.chars().take(100).collect();
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            format!("pages of {origin} may not change anything"),
            "open the page by the server's IP address, or name its origin in `cors` of `[http]`",
        ))
    }

    fn is_own(&self, origin: &str, host: &str) -> bool {
        let Some((_, authority)) = origin.split_once("://") else { return false };
        authority.eq_ignore_ascii_case(host) && self.is_ours_to_name(host_of(authority))
    }

    fn is_ours_to_name(&self, host: &str) -> bool {
        let machine = &self.0.machine;
        host.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || (!machine.is_empty() && (host == machine || host.strip_suffix(".local") == Some(machine)))
    }
}

/// `authority` without its port and an IPv6 address's brackets.
fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(cors: &Cors, origin: Option<&str>, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        Changers::new(cors, "Porch").check(&headers).is_ok()
    }

    #[test]
    fn programs_and_the_servers_own_page_may() {
        assert!(allowed(&Cors::None, None, "anything.example"));
        for host in
            ["192.168.1.5:8080", "[fd00::5]:8080", "localhost:8080", "porch:8080", "porch.local", "PORCH"]
        {
            assert!(allowed(&Cors::None, Some(&format!("http://{}", host.to_lowercase())), host), "{host}");
        }
    }

    #[test]
    fn others_may_not() {
        for (origin, host) in [
            ("http://evil.example", "192.168.1.5:8080"),
            // A name that points to this machine for a while.
            ("http://evil.example:8080", "evil.example:8080"),
            ("http://porch.evil.example", "porch.evil.example"),
            ("http://192.168.1.6:8080", "192.168.1.5:8080"),
            ("http://192.168.1.5:9090", "192.168.1.5:8080"),
            ("null", "192.168.1.5:8080"),
            ("null", "null"),
            ("http://", ""),
        ] {
            assert!(!allowed(&Cors::None, Some(origin), host), "{origin} of {host}");
            assert!(!allowed(&Cors::Any, Some(origin), host), "{origin} of {host}, which may read");
        }
    }

    #[test]
    fn those_that_the_configuration_names_may() {
        let cors = Cors::Origins(vec!["https://panel.example".to_owned()]);
        assert!(allowed(&cors, Some("https://Panel.example"), "cameras.example"));
        assert!(!allowed(&cors, Some("http://panel.example"), "cameras.example"));
    }
}
