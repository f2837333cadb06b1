//! Addresses of pages: `http://host:port/path`, and what a link on a page means.

use std::fmt;

/// A page on a server that speaks HTTP without encryption.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Url {
    /// As it is dialled and sent in the `Host` header: `host:port`, an IPv6 address in brackets.
    pub(crate) host: String,
    /// Begins with a slash; without a fragment.
    pub(crate) path: String,
}

impl Url {
    /// Parses what a user types: `http://host[:port][/path]`.
    pub(crate) fn parse(text: &str) -> Result<Url, String> {
        let rest = text
            .strip_prefix("http://")
            .ok_or_else(|| format!("`{text}` does not begin with http://"))?;
        let (host, path) = match rest.find(['/', '?', '#']) {
            Some(end) => rest.split_at(end),
            None => (rest, ""),
        };
        let host = with_port(host).map_err(|fault| format!("`{text}`: {fault}"))?;
        let path = path.split('#').next().unwrap_or_default();
        let path = match path.strip_prefix('/') {
            Some(_) => path.to_owned(),
            None => format!("/{path}"),
        };
        Ok(Url { host, path })
    }

    /// What a link on this page leads to; `None` when it leads away from the server.
    pub(crate) fn follow(&self, link: &str) -> Option<Url> {
        let link = link.trim().split('#').next().unwrap_or_default();
        if link.is_empty() {
            return None;
        }
        if let Some(rest) = link.strip_prefix("//") {
            return self.same_server(&format!("http://{rest}"));
        }
        if link.starts_with("http://") {
            return self.same_server(link);
        }
        // Another scheme: a colon before any slash.
        let first = link.split(['/', '?']).next().unwrap_or_default();
        if first.contains(':') {
            return None;
        }
        let path = if link.starts_with('/') {
            normal(link)
        } else {
            let page = self.path.split('?').next().unwrap_or_default();
            match link.strip_prefix('?') {
                Some(query) => format!("{page}?{query}"),
                None => {
                    let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
                    normal(&format!("{folder}/{link}"))
                }
            }
        };
        Some(Url {
            host: self.host.clone(),
            path,
        })
    }

    fn same_server(&self, link: &str) -> Option<Url> {
        let url = Url::parse(link).ok()?;
        (url.host == self.host).then_some(url)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.host, self.path)
    }
}

/// Adds port 80 where none is given.
fn with_port(host: &str) -> Result<String, String> {
    let after_brackets = host.rsplit(']').next().unwrap_or_default();
    match after_brackets.rsplit_once(':') {
        _ if host.is_empty() || host.starts_with(':') => Err("there is no host".to_owned()),
        Some((_, port)) if port.parse::<u16>().is_err() => Err(format!("`{port}` is no port")),
        Some(_) => Ok(host.to_owned()),
        None => Ok(format!("{host}:80")),
    }
}

/// Takes `.` and `..` out of a path; leaves the query alone.
fn normal(path: &str) -> String {
    let (path, query) = match path.find('?') {
        Some(at) => path.split_at(at),
        None => (path, ""),
    };
    let mut parts = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
    }
    // What ends in a dot or two is a folder.
    if matches!(path.rsplit('/').next(), Some("." | "..")) {
        parts.push("");
    }
    format!("/{}{query}", parts.join("/"))
}

/// The targets of all `href` attributes on a page. Enough for well-kept pages; no parser of HTML.
pub(crate) fn links(page: &str) -> impl Iterator<Item = &str> {
    page.match_indices("href=").filter_map(|(at, attribute)| {
        let value = &page[at + attribute.len()..];
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        value[1..].split(quote).next()
    })
}
