//! URLs of a stream's tracks (RFC 2326 appendix C.1.1), out of what cameras write for them.
//!
//! A relative one is put behind its base with one slash between, also behind a query, as FFmpeg, live555 and VLC do and as cameras
//! expect therefore; RFC 3986 would cut the base at its last slash. Hosts are left as they are, but for those that are none.

use super::Address;
use super::address::split_authority;

/// What all relative URLs are relative to: Content-Base, else Content-Location, else the URL that was asked for.
pub(super) fn base<'a>(asked: &Address, fields: impl IntoIterator<Item = Option<&'a str>>) -> String {
    let found = fields.into_iter().flatten().find_map(|value| absolute(asked, value));
    found.unwrap_or_else(|| asked.url().to_owned())
}

/// The URL that `control` names.
pub(super) fn resolve(asked: &Address, base: &str, control: &str) -> String {
    let control = control.trim();
    if control.is_empty() || control == "*" {
        return base.to_owned();
    }
    if let Some(url) = absolute(asked, control) {
        return url;
    }
    let between = if control.starts_with('?') { "" } else { "/" };
    let base = if between.is_empty() { base } else { base.trim_end_matches('/') };
    clean(&format!("{base}{between}{}", control.trim_start_matches('/')))
}

/// The URL that `control` names by RFC 3986: it takes the place of what is behind the last slash of the path, and of the query.
pub(super) fn resolve_strictly(asked: &Address, base: &str, control: &str) -> String {
    let control = control.trim();
    if control.contains("://") || control.is_empty() || control == "*" {
        return resolve(asked, base, control);
    }
    let path = base.split('?').next().unwrap_or(base);
    let authority = path.find("://").map_or(0, |at| at + 3);
    let root = path[authority..].find('/').map_or(path.len(), |at| authority + at);
    if control.starts_with('?') {
        return clean(&format!("{path}{control}"));
    }
    let cut = if control.starts_with('/') {
        root
    } else {
        path.rfind('/').filter(|at| *at >= root).unwrap_or(path.len())
    };
    clean(&format!("{}/{}", &path[..cut], control.trim_start_matches('/')))
}

/// A text that is meant to be a URL with a host: as one, if it can be.
fn absolute(asked: &Address, text: &str) -> Option<String> {
    let text = text.trim().trim_matches('"');
    let (scheme, own) = asked.url().split_once("://")?;
    let own_authority = &own[..own.find(['/', '?']).unwrap_or(own.len())];
    let Some((first, mut rest)) = text.split_once("://") else {
        // Without a scheme it is one if it begins with the host that was asked, or with one that has a port.
        let authority = &text[..text.find('/')?];
        let host = split_authority(authority);
        let is_host = authority == own_authority
            || host.is_ok_and(|(host, port)| port.is_some() || host == asked.host());
        return is_host.then(|| clean(&format!("{scheme}://{text}")));
    };
    if !matches!(&first.to_ascii_lowercase()[..], "rtsp" | "rtsps") {
        return None;
    }
    while let Some((_, behind)) =
        rest.split_once("://").filter(|(first, _)| matches!(*first, "rtsp" | "rtsps"))
    {
        rest = behind;
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let is_good = split_authority(authority).is_ok_and(|(host, _)| !matches!(host, "0.0.0.0" | "::" | "*"));
    let authority = if is_good { authority } else { own_authority };
    Some(clean(&format!("{scheme}://{authority}{path}")))
}

/// Without what would end a request's line.
fn clean(url: &str) -> String {
    url.replace(" ", "%20").replace(|letter: char| letter.is_ascii_control(), "")
}
