// Taking a path: stale files, live owners, modes and owners.

import CShimsSystem
import Glibc
import Testing

@testable import Control

@Suite struct UnixgramListenTests {
    let directory = TemporaryDirectory()
    var path: String { directory("port.sock") }

    @Test(arguments: [0o600, 0o660, 0o666] as [UInt32])
    func `the file has the mode asked for, whatever the umask`(mode: UInt32) throws {
        let listener = try UnixgramListener.listen(path: path, mode: mode)
        var status = stat()
        #expect(lstat(path, &status) == 0)
        #expect(status.st_mode & 0o7777 == mode)
        #expect(listener.isReachable)
    }

    @Test(.enabled(if: isRoot)) func `the file has the owner and group asked for`() throws {
        let listener = try UnixgramListener.listen(
            path: path, mode: 0o660, owner: 1234, group: 4321)
        var status = stat()
        #expect(lstat(path, &status) == 0)
        #expect(status.st_uid == 1234 && status.st_gid == 4321)
        listener.close()
    }

    @Test(.enabled(if: isRoot)) func `owner, group and mode change while it listens`() throws {
        var access = SocketAccess(mode: 0o660)
        let listener = try UnixgramListener.listen(path: path, mode: access.mode)
        for next in [
            SocketAccess(mode: 0o606, owner: 1234, group: 4321), SocketAccess(mode: 0o640),
            SocketAccess(mode: 0o640, group: 77),
        ] {
            try listener.setAccess(next, from: access)
            var status = stat()
            #expect(lstat(path, &status) == 0)
            #expect(status.st_mode & 0o7777 == next.mode && listener.isReachable)
            #expect(status.st_uid == next.owner ?? 0 && status.st_gid == next.group ?? getegid())
            access = next
        }
        unlink(path)
        let other = RawPeer(bound: path)
        try listener.setAccess(SocketAccess(mode: 0), from: access)
        var status = stat()
        #expect(lstat(path, &status) == 0 && status.st_mode & 0o777 != 0)
        withExtendedLifetime(other) {}
    }

    @Test(.enabled(if: isRoot)) func `a file that cannot be given away keeps its mode`() throws {
        let path = self.path
        chmod(directory.path, 0o777)
        try asFileSystemUser(1234) {
            let listener = try UnixgramListener.listen(path: path, mode: 0o660)
            #expect(throws: PortError.ownershipDenied(path: path, owner: 1235, group: getegid())) {
                try listener.setAccess(
                    SocketAccess(mode: 0o606, owner: 1235), from: SocketAccess(mode: 0o660))
            }
            var status = stat()
            #expect(lstat(path, &status) == 0 && status.st_mode & 0o7777 == 0o660)
        }
    }

    @Test func `the file is born without permissions`() throws {
        let socket = cshims_socket_create_unixgram()
        defer { _ = cshims_descriptor_close(socket) }
        #expect(cshims_socket_set_birth_mode(socket, 0) == 0)
        #expect(cshims_socket_bind_path(socket, path) == 0)
        var status = stat()
        #expect(lstat(path, &status) == 0)
        #expect(status.st_mode & 0o7777 == 0)
    }

    @Test func `closing removes the file`() throws {
        let listener = try UnixgramListener.listen(path: path, mode: 0o600)
        listener.close()
        #expect(FileIdentity(path: path) == nil)
    }

    @Test func `closing leaves a file that is somebody else's`() throws {
        let listener = try UnixgramListener.listen(path: path, mode: 0o600)
        unlink(path)
        let other = RawPeer(bound: path)
        #expect(!listener.isReachable)
        listener.close()
        #expect(FileIdentity(path: path) != nil)
        withExtendedLifetime(other) {}
    }

    @Test func `a stale socket is taken over`() throws {
        do { _ = RawPeer(bound: path) }
        #expect(FileIdentity(path: path)?.isSocket == true)
        let listener = try UnixgramListener.listen(path: path, mode: 0o600)
        #expect(listener.isReachable)
    }

    @Test func `a path where a switch listens is an error that names it`() throws {
        let first = try UnixgramListener.listen(path: path, mode: 0o600)
        let error = #expect(throws: PortError.pathInUse(path: path)) {
            _ = try UnixgramListener.listen(path: path, mode: 0o600)
        }
        #expect(error?.description.hasPrefix("another process listens on \(path)") == true)
        #expect(first.isReachable)
    }

    @Test func `so is one whose switch has a peer`() throws {
        let first = try UnixgramListener.listen(path: path, mode: 0o600)
        let vm = RawPeer(bound: directory("vm.sock"))
        vm.connect(path)
        vm.send(magic)
        #expect(try first.accept(.test).attachment != nil)
        #expect(throws: PortError.pathInUse(path: path)) {
            _ = try UnixgramListener.listen(path: path, mode: 0o600)
        }
    }

    @Test func `a socket of another type is somebody's too`() throws {
        let stream = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(stream) }
        #expect(cshims_socket_bind_path(stream, path) == 0)
        #expect(throws: PortError.pathInUse(path: path)) {
            _ = try UnixgramListener.listen(path: path, mode: 0o600)
        }
    }

    @Test func `a file that is no socket is never removed`() throws {
        let file = open(path, O_CREAT | O_WRONLY, 0o600)
        defer { close(file) }
        #expect(throws: PortError.pathIsNotSocket(path: path)) {
            _ = try UnixgramListener.listen(path: path, mode: 0o600)
        }
        #expect(FileIdentity(path: path) != nil)
    }

    @Test func `a symbolic link is no socket, even if it leads to a stale one`() throws {
        do { _ = RawPeer(bound: directory("stale.sock")) }
        symlink(directory("stale.sock"), path)
        #expect(throws: PortError.pathIsNotSocket(path: path)) {
            _ = try UnixgramListener.listen(path: path, mode: 0o600)
        }
    }

    @Test func `a path of 107 bytes fits and one of 108 does not`() throws {
        let room = 107 - directory.path.utf8.count - 1
        let longest = directory(String(repeating: "x", count: room))
        let listener = try UnixgramListener.listen(path: longest, mode: 0o600)
        #expect(listener.isReachable)
        #expect(throws: PortError.pathTooLong(path: longest + "x")) {
            _ = try UnixgramListener.listen(path: longest + "x", mode: 0o600)
        }
    }

    @Test func `a missing directory is named`() throws {
        let lost = directory("nowhere/port.sock")
        let error = #expect(throws: PortError.directoryMissing(path: lost)) {
            _ = try UnixgramListener.listen(path: lost, mode: 0o600)
        }
        #expect(error?.description == "the directory of \(lost) does not exist: create it first")
    }

    @Test(.enabled(if: isRoot)) func `a directory that does not let us in is named`() throws {
        chmod(directory.path, 0o755)
        let path = self.path
        let error = #expect(throws: PortError.self) {
            try asFileSystemUser(1234) { _ = try UnixgramListener.listen(path: path, mode: 0o600) }
        }
        #expect(error == .pathDenied(path: path, operation: "create the socket"))
    }

    @Test(.enabled(if: isRoot)) func `a socket that cannot be given away is not left behind`() {
        let path = self.path
        #expect(throws: PortError.ownershipDenied(path: path, owner: 1235, group: nil)) {
            try asFileSystemUser(1234) {
                _ = try UnixgramListener.listen(path: path, mode: 0o600, owner: 1235)
            }
        }
        #expect(FileIdentity(path: path) == nil)
    }

    @Test func `sentences for people`() {
        let denied = PortError.pathDenied(path: "/run/x/a.sock", operation: "create the socket")
        #expect(
            denied.description
                == "permission denied to create the socket /run/x/a.sock: the user of the switch "
                + "(uid \(geteuid())) needs write and search permission on its directory")
        let other = PortError.system(operation: "bring up", subject: "rs0", code: EIO)
        #expect(other.description == "cannot bring up rs0: input/output error")
        #expect(
            PortError.ownershipDenied(path: "/a", owner: 1, group: 2).description
                == "cannot give /a to user 1 and group 2: only root gives files away, and only "
                + "members give them to a group")
    }
}
