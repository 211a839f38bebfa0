//! Debian's kernel under plain emulation, with the program inside: what a script in there finds.

use std::path::Path;
use std::process::{Command, Stdio};

/// Where a program of this machine is.
pub(crate) fn installed(program: &str, package: &str) -> String {
    let found = Command::new("sh")
        .args(["-c", &format!("PATH=$PATH:/usr/sbin:/sbin; command -v {program}")])
        .output()
        .expect("there is a shell");
    let found = String::from_utf8(found.stdout).expect("a path is text");
    assert!(!found.trim().is_empty(), "{program} is not installed (package {package})");
    found.trim().to_owned()
}

/// Boots the kernel with these modules and runs `script` of `tests/guest` with the server and `files` at hand: it has to print a line
/// for each of `checks`, and none for a failure. All that it prints.
pub(crate) fn run(modules: &str, script: &str, files: &[&str], checks: &[&str]) -> String {
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guest");
    let output = Command::new(guest.join("boot.sh"))
        .env("MODULES", modules)
        .arg(guest.join(script))
        .arg(env!("CARGO_BIN_EXE_ocelli"))
        .args(files)
        .stdin(Stdio::null())
        .output()
        .expect("boot.sh can be run");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    let readable = || -> String {
        let lines = printed.lines().filter(|line| !line.starts_with("JPEG "));
        format!("{}\n{errors}", lines.collect::<Vec<_>>().join("\n"))
    };
    assert!(printed.contains("guest: done"), "the guest did not finish:\n{}", readable());
    for check in checks {
        assert!(printed.lines().any(|line| line == format!("PASS {check}")), "{check}:\n{}", readable());
    }
    assert!(!printed.contains("FAIL"), "{}", readable());
    printed
}
