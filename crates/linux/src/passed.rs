//! Open files that come with the bytes of a unix socket (unix(7), `SCM_RIGHTS`).

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

/// Reads what has come and the open file beside it, if there is one. The kernel closes further ones.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = nix::cmsg_space!([RawFd; 1]);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<()>(
        socket.as_fd().as_raw_fd(),
        &mut parts,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT,
    )?;
    let mut files = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = control {
            // nix gives numbers, and nothing else in this process knows of them.
            #[allow(unsafe_code)]
            // SAFETY: the kernel has just opened them for us, and each is taken once.
            files.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    Ok((message.bytes, files.into_iter().next()))
}

#[cfg(test)]
mod tests {
    use std::io::{IoSlice, Read, Seek, Write};
    use std::os::unix::net::UnixStream;

    use nix::sys::socket::{ControlMessage, sendmsg};

    use super::*;

    #[test]
    fn a_file_comes_with_its_bytes_and_once() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut file = std::fs::File::from(
            nix::sys::memfd::memfd_create(c"x", nix::sys::memfd::MFdFlags::empty()).unwrap(),
        );
        file.write_all(b"inside").unwrap();
        let fds = [file.as_raw_fd(), file.as_raw_fd()];
        let send = |bytes: &[u8], fds: &[RawFd]| {
            let rights = [ControlMessage::ScmRights(fds)];
            let control: &[ControlMessage<'_>] = if fds.is_empty() { &[] } else { &rights };
            sendmsg::<()>(theirs.as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::empty(), None)
                .unwrap();
        };
        let mut buffer = [0; 16];
        send(b"POST", &fds[..1]);
        let (n, got) = receive(&ours, &mut buffer).unwrap();
        assert_eq!(&buffer[..n], b"POST");
        let (mut text, mut got) = (String::new(), std::fs::File::from(got.unwrap()));
        got.rewind().unwrap();
        got.read_to_string(&mut text).unwrap();
        assert_eq!(text, "inside");

        send(b"more", &[]);
        let (n, none) = receive(&ours, &mut buffer).unwrap();
        assert!(n == 4 && none.is_none());
        assert_eq!(receive(&ours, &mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        // More than one was never asked for: the first counts, none stays open.
        let before = std::fs::read_dir("/proc/self/fd").unwrap().count();
        send(b"two", &fds);
        let (_, first) = receive(&ours, &mut buffer).unwrap();
        drop(first);
        assert_eq!(std::fs::read_dir("/proc/self/fd").unwrap().count(), before);
        drop(theirs);
        assert_eq!(receive(&ours, &mut buffer).unwrap().0, 0, "the end");
    }
}
