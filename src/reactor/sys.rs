//! Calls of the system that no safe crate offers: the only unsafe code of this crate.
//!
//! Each function is the whole of one call, with everything that makes it sound beside it.
//! `Cargo.toml` denies unsafe code everywhere, and `tests/architecture.rs` holds that it
//! is allowed here alone.

#![allow(unsafe_code)]

use std::io;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::fd::{AsFd, AsRawFd};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// The descriptor of this number, which this process has from the one that started it. From
/// now on it is closed on exec.
///
/// # Errors
/// If it isn't open, is a standard stream, or isn't from there: this process opened it, or it
/// was taken before.
pub(super) fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl(2) with F_GETFD takes no pointer, and any number.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    if number <= libc::STDERR_FILENO || flags == -1 || flags & libc::FD_CLOEXEC != 0 {
        return Err(io::Error::other("it wasn't passed to this process"));
    }
    // SAFETY: as above; F_SETFD changes a flag of an open descriptor.
    if unsafe { libc::fcntl(number, libc::F_SETFD, flags | libc::FD_CLOEXEC) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open. Nobody in this process owns it: a descriptor that survived exec has
    // no FD_CLOEXEC, all that this process opens have it, and those taken here have it too.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Has the kernel accept a connection only when its first bytes are there, or `seconds`
/// after its handshake (`TCP_DEFER_ACCEPT` of tcp(7)).
///
/// # Errors
/// Of setsockopt(2).
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn defer_accept(socket: &impl AsFd, seconds: libc::c_int) -> io::Result<()> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open as long as it is borrowed, and the kernel reads one
    // `c_int` from a local variable, and gets its size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            length,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// How many bytes that were given to a socket wait until its peer acknowledges them (`SIOCOUTQ`
/// of tcp(7) and unix(7)); none if the kernel can't tell.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn unacknowledged(socket: &impl AsFd) -> Option<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open as long as it is borrowed, and the kernel writes one
    // `c_int` into a local variable.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result == 0 { u64::try_from(bytes).ok() } else { None }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn unacknowledged<S>(_: &S) -> Option<u64> {
    None
}

/// Has the allocator give back memory that is free. glibc keeps what was freed below
/// something that is still used, and the rest up to a threshold of its own.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn trim_heap() {
    // SAFETY: malloc_trim(3) takes no pointers, locks what it needs, and touches only
    // memory that is free.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other allocators decide for themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn trim_heap() {}

/// A clock in seconds and nanoseconds (clock_gettime(2)).
///
/// The standard library's types take the two apart and together again, for a hundred
/// instructions in each pass, and the other safe calls parse the kernel's vDSO
/// themselves, which ends a process under valgrind.
pub(super) fn clock(clock: libc::clockid_t) -> (i64, i64) {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one `timespec` into a local one. If it fails, which it does
    // for clocks that don't exist, nothing is written.
    unsafe {
        libc::clock_gettime(clock, &raw mut time);
    }
    // Narrower on some systems.
    #[allow(clippy::useless_conversion)]
    (time.tv_sec.into(), time.tv_nsec.into())
}

/// Has the kernel give no more privileges to this thread, and to those that it starts, than
/// they have (`PR_SET_NO_NEW_PRIVS` of prctl(2)).
///
/// # Errors
/// Of prctl(2).
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn forbid_new_privileges() -> io::Result<()> {
    let (on, none): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: this operation takes no pointer.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, on, none, none, none) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Other systems have no such call.
///
/// # Errors
/// None.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn forbid_new_privileges() -> io::Result<()> {
    Ok(())
}

/// Makes this process one of another user, for good. The C library's functions do that for all
/// threads; the system calls do it for one.
///
/// # Errors
/// If the system refuses, or if the process could go back to what it was. It may have changed in
/// part then, so it must end.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn change_user(user: u32, group: u32, groups: &[u32]) -> io::Result<()> {
    let check = |result: libc::c_int| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: the pointer is to as many numbers as are said, and they are only read.
    check(unsafe { libc::setgroups(groups.len() as _, groups.as_ptr()) })?;
    // SAFETY: these take no pointer.
    check(unsafe { libc::setresgid(group, group, group) })?;
    // SAFETY: as above. The user is last, since only root may change the groups.
    check(unsafe { libc::setresuid(user, user, user) })?;
    let (mut users, mut all) = ([0; 3], [0; 3]);
    let [real, effective, saved] = &mut users;
    // SAFETY: each is a pointer to a local variable of its own.
    check(unsafe { libc::getresuid(real, effective, saved) })?;
    let [real, effective, saved] = &mut all;
    // SAFETY: as above.
    check(unsafe { libc::getresgid(real, effective, saved) })?;
    // SAFETY: this takes no pointer. It must fail.
    let is_back = unsafe { libc::setresuid(libc::uid_t::MAX, 0, libc::uid_t::MAX) } == 0;
    if users != [user; 3] || all != [group; 3] || is_back {
        return Err(io::Error::other("the system didn't take all privileges"));
    }
    Ok(())
}

/// It isn't supported elsewhere.
///
/// # Errors
/// Always.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn change_user(_: u32, _: u32, _: &[u32]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
