//! What the worker gives up before it sees a picture.
//!
//! - It dies with the server (Linux: SIGKILL by the kernel), even in the middle of a picture.
//! - Limits: no new file or socket of any kind, since no descriptor is free; no file is made longer; no new process
//!   for any user but root; no core dump; 1 GiB of address space.
//! - System calls (Linux on x86-64, 64-bit ARM and RISC-V): only those that read and write what is open, and manage
//!   memory that is not run as code. Any other fails with EPERM. Nothing of it can be undone.
//!
//! Where it is to code by a device, which is opened while pictures come, or to start FFmpeg, only the first and core dumps are left of that.
//!
//! What a kernel does not give is left out and said in words, which the server logs: pictures are worth more than a
//! filter.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Address space in bytes: what the largest progressive picture needs, and half as much again.
const MOST_MEMORY_BYTES: u64 = 1 << 30;

/// Has the kernel end this process with the one that started it, where it can (Linux).
pub(crate) fn die_with_the_server() {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

/// What a worker needs later that one that is confined does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freedom {
    /// Nothing.
    None,
    /// To open devices.
    Devices,
    /// To start FFmpeg.
    Programs,
}

/// Gives everything up that is not needed, and says what could be given up.
pub(crate) fn confine(freedom: Freedom) -> String {
    die_with_the_server();
    let why = match freedom {
        Freedom::None => None,
        Freedom::Devices => Some("not confined, since it may open devices"),
        Freedom::Programs => Some("not confined, since it starts FFmpeg's program"),
    };
    if let Some(why) = why {
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        return why.to_owned();
    }
    let limits = [
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Nproc, 0),
        (Resource::As, MOST_MEMORY_BYTES),
        // The last: the others may need a file.
        (Resource::Nofile, 0),
    ];
    let refused = limits.iter().filter(|(resource, most)| {
        setrlimit(*resource, Rlimit { current: Some(*most), maximum: Some(*most) }).is_err()
    });
    let limited = match refused.count() {
        0 => "limited".to_owned(),
        count => format!("{count} of {} limits not set", limits.len()),
    };
    match filter::apply() {
        Ok(()) => format!("{limited}, system calls filtered"),
        Err(why) => format!("{limited}, system calls not filtered: {why}"),
    }
}

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")
))]
mod filter {
    use std::collections::BTreeMap;

    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule,
    };

    /// Calls that are allowed whatever their arguments.
    const ALLOWED: &[libc::c_long] = &[
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        // The allocator.
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_getrandom,
        // The end, and how a panic or an abort comes to it.
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_restart_syscall,
        libc::SYS_sigaltstack,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_clock_gettime,
    ];
    /// Calls that take `PROT_…` as their third argument: allowed unless the memory is to be run as code.
    const MEMORY: &[libc::c_long] = &[libc::SYS_mmap, libc::SYS_mprotect];

    pub(super) fn apply() -> Result<(), String> {
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
            ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
        for call in MEMORY {
            let no_code = SeccompCondition::new(
                2,
                SeccompCmpArgLen::Dword,
                SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64),
                0,
            );
            let rule = SeccompRule::new(vec![no_code.map_err(|error| words(&error))?]);
            rules.insert(*call, vec![rule.map_err(|error| words(&error))?]);
        }
        // A signal to itself is what abort() ends by; to nobody else.
        let itself = SeccompCondition::new(
            0,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::Eq,
            u64::from(std::process::id()),
        );
        let rule = SeccompRule::new(vec![itself.map_err(|error| words(&error))?]);
        rules.insert(libc::SYS_tgkill, vec![rule.map_err(|error| words(&error))?]);
        let arch = std::env::consts::ARCH.try_into().map_err(|error| words(&error))?;
        let denied = SeccompAction::Errno(libc::EPERM as u32);
        let filter = SeccompFilter::new(rules, denied, SeccompAction::Allow, arch);
        let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(|error| words(&error))?;
        seccompiler::apply_filter(&program).map_err(|error| words(&error))
    }
}

#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")
)))]
mod filter {
    pub(super) fn apply() -> Result<(), String> {
        Err("not on this kind of machine".to_owned())
    }
}
