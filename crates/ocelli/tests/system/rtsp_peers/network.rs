//! A network of a test's own, in which nothing leaves the machine: multicast stays on the loopback interface.

use std::process::{Command, Stdio};

/// Set in the run of a test that is inside.
const INSIDE: &str = "OCELLI_TEST_NETWORK";
const SET_UP: &str = "ip link set lo up multicast on && ip route add 224.0.0.0/4 dev lo && exec \"$@\"";

/// Whether this is the run of the test `name` inside such a network. If not, that one has been run by this, or left out
/// where the system does not allow it.
///
/// # Panics
/// The test failed inside.
pub(super) fn alone(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let unshare = || {
        let mut command = Command::new("unshare");
        command.arg("--net").stdin(Stdio::null());
        if !rustix::process::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        command.args(["sh", "-c", SET_UP, "sh"]);
        command
    };
    let tried = unshare().arg("true").output();
    if !tried.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("left out: {name} needs `unshare --net` and `ip`: {tried:?}");
        return false;
    }
    let mut command = unshare();
    command.arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{name} inside:\n{said}\n{errors}");
    eprint!("{errors}");
    false
}
