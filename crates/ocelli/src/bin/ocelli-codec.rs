//! The worker in which `ocelli` has pictures of others decoded. A program of this package, so that whatever builds or
//! installs the server builds and installs its worker.

use std::process::ExitCode;

fn main() -> ExitCode {
    ocelli_worker::run()
}
