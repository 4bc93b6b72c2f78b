//! Directories of this machine that requests may name as a store: those below one that the
//! administrator has set, wherever symbolic links lead.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Refuses a directory that is not below the root.
///
/// # Errors
/// A sentence that says why.
pub(super) fn permit(root: Option<&Path>, directory: &Path) -> Result<(), String> {
    let Some(root) = root else {
        return Err(format!(
            "{} is a directory of the scheduler's machine, and FILE_ROOT names none that requests may use",
            directory.display()
        ));
    };
    let unusable = |error: io::Error| format!("FILE_ROOT: {}: {error}", root.display());
    let root = root.canonicalize().map_err(unusable)?;
    match resolved(directory) {
        Ok(found) if found.starts_with(&root) => Ok(()),
        Ok(_) => Err(format!(
            "{} is not below {} (FILE_ROOT)",
            directory.display(),
            root.display()
        )),
        Err(error) => Err(format!("{}: {error}", directory.display())),
    }
}

/// Where a path leads that may not be there yet: what is there is resolved, the rest is added.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    if path.components().any(|it| it == Component::ParentDir) {
        return Err(io::Error::other("`..` leads somewhere else"));
    }
    let mut missing: Vec<OsString> = Vec::new();
    let mut there = path.to_owned();
    loop {
        match there.canonicalize() {
            Ok(found) => return Ok(missing.iter().rev().fold(found, |path, it| path.join(it))),
            // A link that leads nowhere is there, and nobody knows where it will lead.
            Err(error) if there.is_symlink() => return Err(error),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        missing.extend(there.file_name().map(ToOwned::to_owned));
        if !there.pop() {
            return Err(io::ErrorKind::NotFound.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// S02.
    #[test]
    fn no_link_and_no_spelling_leads_out_of_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join("a")).unwrap();
        std::fs::create_dir(folder.path().join("rooted")).unwrap();
        symlink(folder.path(), root.join("out")).unwrap();
        symlink("/nowhere/at/all", root.join("dangling")).unwrap();
        symlink(root.join("a"), folder.path().join("in")).unwrap();
        let permit = |path: PathBuf| permit(Some(&root), &path);
        for good in ["", "a", "a/b/c", "new/er"] {
            assert!(permit(root.join(good)).is_ok(), "{good}");
        }
        assert!(permit(folder.path().join("in/new")).is_ok());
        for bad in ["..", "a/../../x", "out", "out/x", "dangling", "dangling/x"] {
            assert!(permit(root.join(bad)).is_err(), "{bad}");
        }
        for bad in ["/", "/etc", "/tmp"] {
            assert!(permit(PathBuf::from(bad)).is_err(), "{bad}");
        }
        assert!(permit(folder.path().join("rooted")).is_err());
        assert!(super::permit(None, &root).is_err());
    }
}
