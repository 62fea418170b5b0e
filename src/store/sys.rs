//! The system calls that no crate offers in the form needed here: the one module with `unsafe`.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Reads up to `len` bytes at `offset`, but only what is in the page cache.
///
/// Fails with `WouldBlock` if that would need the disk, and with `EOPNOTSUPP` if the file system does not
/// support it. An empty result means the end of the file. The buffer is not zeroed first: at 512 KiB that
/// would be a fifth of the cost.
pub(super) fn read_cached(file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    let mut buffer: Vec<u8> = Vec::with_capacity(len);
    let slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: len };
    #[expect(unsafe_code, reason = "rustix's preadv2 takes initialised buffers only")]
    // SAFETY: `slice` names `len` bytes that `buffer` owns, and both outlive the call.
    let read = unsafe { libc::preadv2(file.as_raw_fd(), &raw const slice, 1, offset, libc::RWF_NOWAIT) };
    let read = usize::try_from(read).map_err(|_| io::Error::last_os_error())?;
    #[expect(unsafe_code, reason = "the kernel has filled bytes that the vector does not count yet")]
    // SAFETY: the kernel has written the first `read` bytes, and `read <= len <= capacity`.
    unsafe {
        buffer.set_len(read);
    }
    Ok(buffer)
}

/// Starts to write a range of dirty pages to the disk, without waiting for it.
pub(super) fn start_writeback(file: &File, offset: u64, len: u64) -> io::Result<()> {
    sync_file_range(file, offset, len, libc::SYNC_FILE_RANGE_WRITE)
}

/// Writes a range of dirty pages to the disk and waits for it. This says nothing about durability.
///
/// Like `fdatasync` it consumes the file's pending write error: a caller that gets one here must treat the
/// file as lost.
pub(super) fn await_writeback(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let flags =
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    sync_file_range(file, offset, len, flags)
}

fn sync_file_range(file: &File, offset: u64, len: u64, flags: libc::c_uint) -> io::Result<()> {
    let offset = offset.try_into().map_err(io::Error::other)?;
    let len = len.try_into().map_err(io::Error::other)?;
    #[expect(unsafe_code, reason = "rustix has no sync_file_range")]
    // SAFETY: the call takes integers only, and the descriptor is open while `file` is borrowed.
    let result = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, len, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes the allocator return large blocks to the system as soon as they are freed. By default glibc keeps
/// blocks up to 32 MiB, in each of many arenas: after a few passwords were hashed by different threads, at
/// 19 MiB each, that is more than 100 MiB. The threshold is above the buffers of bodies: returning and
/// requesting these for every piece would cost a third of the speed of large downloads.
pub fn give_large_memory_back() {
    #[cfg(target_env = "gnu")]
    {
        const LARGE: libc::c_int = 1 << 20;
        const KEPT: libc::c_int = 4 << 20;
        for (parameter, bytes) in [(libc::M_MMAP_THRESHOLD, LARGE), (libc::M_TRIM_THRESHOLD, KEPT)] {
            #[expect(unsafe_code, reason = "no crate wraps mallopt")]
            // SAFETY: the call takes integers only and may be made at any time.
            let set = unsafe { libc::mallopt(parameter, bytes) };
            if set == 0 {
                tracing::debug!(parameter, "the allocator did not accept the parameter");
            }
        }
    }
}

/// Returns the freed memory in all arenas of the allocator to the system; this takes about half a
/// millisecond. On its own, glibc returns only memory after the last block in use, so that a burst of pushes
/// or long lists would leave tens of MiB.
pub fn give_unused_memory_back() {
    #[cfg(target_env = "gnu")]
    {
        #[expect(unsafe_code, reason = "no crate wraps malloc_trim")]
        // SAFETY: the call takes an integer only and may be made at any time, from any thread.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}

#[cfg(test)]
#[cfg(target_env = "gnu")]
mod tests {
    use super::give_unused_memory_back;

    fn resident_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn freed_memory_below_a_piece_in_use_goes_back_to_the_system() {
        const PIECE: usize = 64 << 10;
        let mut pieces: Vec<_> = (0..2_048).map(|_| vec![1u8; PIECE]).collect();
        let in_use = pieces.pop();
        pieces.clear();
        let before = resident_kib();
        give_unused_memory_back();
        let after = resident_kib();
        drop(in_use);
        assert!(after + (64 << 10) < before, "{before} KiB before, {after} after");
    }
}
