use super::*;
use std::fs;

/// A folder that is removed again.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("portcullis-watch-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn later() -> SystemTime {
    SystemTime::now() + Duration::from_secs(3600)
}

fn watch(paths: &[&PathBuf]) -> Watch {
    let paths = paths.iter().map(|path| (*path).clone()).collect();
    Watch::new(Seen { paths, begun: later(), before: Before::default(), failed: false })
}

/// What three looks in a row say; only the second look at the same change may ask for a reload.
fn three(watch: &mut Watch) -> [bool; 3] {
    [watch.look(), watch.look(), watch.look()]
}

#[test]
fn a_quiet_file_is_left_alone() {
    let folder = Folder::new("quiet");
    fs::write(folder.file("a.yaml"), "a").unwrap();
    assert_eq!(three(&mut watch(&[&folder.file("a.yaml")])), [false; 3]);
}

#[test]
fn a_file_written_in_place_is_seen_once_it_rests() {
    let folder = Folder::new("place");
    let file = folder.file("a.yaml");
    fs::write(&file, "one").unwrap();
    let mut watch = watch(&[&file]);
    fs::write(&file, "two, half").unwrap();
    assert!(!watch.look());
    fs::write(&file, "two, half written").unwrap();
    assert_eq!(three(&mut watch), [false, true, false]);
}

#[test]
fn a_file_renamed_over_another_is_seen() {
    let folder = Folder::new("rename");
    let file = folder.file("a.yaml");
    fs::write(&file, "one").unwrap();
    let mut watch = watch(&[&file]);
    fs::write(folder.file("a.tmp"), "two").unwrap();
    fs::rename(folder.file("a.tmp"), &file).unwrap();
    assert_eq!(three(&mut watch), [false, true, false]);
}

#[test]
fn a_link_to_a_folder_that_is_swapped_is_seen() {
    let folder = Folder::new("link");
    for version in ["v1", "v2"] {
        fs::create_dir(folder.file(version)).unwrap();
        fs::write(folder.file(version).join("a.yaml"), version).unwrap();
    }
    std::os::unix::fs::symlink("v1", folder.file("..data")).unwrap();
    std::os::unix::fs::symlink("..data/a.yaml", folder.file("a.yaml")).unwrap();
    let mut watch = watch(&[&folder.file("a.yaml")]);
    std::os::unix::fs::symlink("v2", folder.file("..tmp")).unwrap();
    fs::rename(folder.file("..tmp"), folder.file("..data")).unwrap();
    assert_eq!(three(&mut watch), [false, true, false]);
}

#[test]
fn a_file_removed_and_made_again_is_seen() {
    let folder = Folder::new("again");
    let file = folder.file("a.yaml");
    fs::write(&file, "one").unwrap();
    let mut watch = watch(&[&file]);
    fs::remove_file(&file).unwrap();
    assert!(!watch.look());
    fs::write(&file, "two, and longer").unwrap();
    assert_eq!(three(&mut watch), [false, true, false]);
}

#[test]
fn a_touch_asks_for_nothing() {
    let folder = Folder::new("touch");
    let file = folder.file("a.yaml");
    fs::write(&file, "one").unwrap();
    let mut watch = watch(&[&file]);
    fs::remove_file(&file).unwrap();
    fs::write(&file, "one").unwrap();
    assert_eq!(three(&mut watch), [false; 3]);
}

#[test]
fn a_new_file_in_the_folder_is_seen() {
    let folder = Folder::new("new");
    fs::write(folder.file("a.yaml"), "one").unwrap();
    let mut watch = watch(&[&folder.0, &folder.file("a.yaml")]);
    fs::write(folder.file("notes.txt"), "nobody reads this").unwrap();
    assert_eq!(three(&mut watch), [false; 3]);
    fs::write(folder.file("b.yaml"), "two").unwrap();
    assert_eq!(three(&mut watch), [false, true, false]);
}

#[test]
fn what_changed_while_it_was_read_is_read_again() {
    let folder = Folder::new("while");
    let file = folder.file("a.yaml");
    fs::write(&file, "one").unwrap();
    let seen = Seen { paths: vec![file], begun: UNIX_EPOCH, before: Before::default(), failed: false };
    assert_eq!(three(&mut Watch::new(seen)), [false, true, false]);
}

#[test]
fn a_failed_load_forgets_no_file() {
    let folder = Folder::new("failed");
    let (file, secret) = (folder.file("a.yaml"), folder.file("secret"));
    fs::write(&file, "one").unwrap();
    let mut watch = watch(&[&file, &secret]);
    watch.settle(Seen { paths: vec![file], begun: later(), before: Before::default(), failed: true });
    fs::write(&secret, "made at last").unwrap();
    assert_eq!(three(&mut watch), [false, true, false]);
}

#[test]
fn what_was_removed_while_it_was_read_is_seen() {
    let folder = Folder::new("removed");
    let file = folder.file("a.yaml");
    fs::write(&file, "one").unwrap();
    let before = Before::of(std::slice::from_ref(&file));
    fs::remove_file(&file).unwrap();
    let seen = Seen { paths: vec![file], begun: later(), before, failed: false };
    assert_eq!(three(&mut Watch::new(seen)), [false, true, false]);
}

#[test]
fn a_link_that_was_swapped_while_it_was_read_is_seen() {
    let folder = Folder::new("swapped");
    for version in ["v1", "v2"] {
        fs::create_dir(folder.file(version)).unwrap();
        fs::write(folder.file(version).join("a.yaml"), version).unwrap();
    }
    std::os::unix::fs::symlink("v1", folder.file("..data")).unwrap();
    std::os::unix::fs::symlink("..data/a.yaml", folder.file("a.yaml")).unwrap();
    let paths = vec![folder.0.clone(), folder.file("a.yaml")];
    let before = Before::of(&paths[..1]);
    std::os::unix::fs::symlink("v2", folder.file("..tmp")).unwrap();
    fs::rename(folder.file("..tmp"), folder.file("..data")).unwrap();
    let seen = Seen { paths, begun: later(), before, failed: false };
    assert_eq!(three(&mut Watch::new(seen)), [false, true, false]);
}

#[test]
fn what_looks_as_before_the_load_is_left_alone() {
    let folder = Folder::new("same");
    fs::write(folder.file("a.yaml"), "one").unwrap();
    let paths = vec![folder.0.clone(), folder.file("a.yaml")];
    let before = Before::of(&paths);
    let seen = Seen { paths, begun: UNIX_EPOCH, before, failed: false };
    assert_eq!(three(&mut Watch::new(seen)), [false; 3]);
}
