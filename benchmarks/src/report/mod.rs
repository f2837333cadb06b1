//! What becomes of results: a page with plots, tables in Markdown, plots for the documentation.

mod growth;
mod markdown;
mod page;
mod palette;
mod plot;
mod publish;
mod rows;

use std::path::{Path, PathBuf};
use std::{fs, io};

pub use publish::publish;

use crate::results::Results;

/// Writes the page beside the results; says where it is.
pub fn write(results: &Results, path: &Path) -> io::Result<PathBuf> {
    let page = path.with_extension("html");
    fs::write(&page, page::page(results))?;
    Ok(page)
}

/// For the terminal: each case's first figure of all peers.
pub fn summary(results: &Results) -> String {
    markdown::table(results, None)
}
