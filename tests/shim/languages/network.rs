// SPDX-License-Identifier: Apache-2.0
// Threads of Rust that talk over sockets and start children.
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;

use crate::MS;

pub fn tcp_threads() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    const CLIENTS: usize = 60;
    let server = thread::spawn(move || {
        let threads: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (mut stream, _) = listener.accept().unwrap();
                thread::spawn(move || {
                    let mut lines = BufReader::new(stream.try_clone().unwrap());
                    let (mut line, mut count) = (String::new(), 0);
                    while lines.read_line(&mut line).unwrap() > 0 {
                        stream.write_all(line.to_uppercase().as_bytes()).unwrap();
                        line.clear();
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum::<usize>()
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|i| {
            thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_nodelay(true).unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                for n in 0..10 {
                    write!(stream, "client {} line {}\n", i, n).unwrap();
                    line.clear();
                    lines.read_line(&mut line).unwrap();
                    if line != format!("CLIENT {} LINE {}\n", i, n) {
                        return 0;
                    }
                }
                stream.shutdown(Shutdown::Write).unwrap();
                lines.read_to_string(&mut line).unwrap() + 1
            })
        })
        .collect();
    println!("right {}", clients.into_iter().map(|t| t.join().unwrap()).sum::<usize>());
    println!("lines {}", server.join().unwrap());
}

pub fn sockets_and_timeouts() {
    let (mut a, mut b) = UnixStream::pair().unwrap();
    a.set_read_timeout(Some(MS * 10)).unwrap();
    let mut bytes = [0u8; 8];
    println!("{:?}", a.read(&mut bytes).unwrap_err().kind());
    let writer = thread::spawn(move || {
        for _ in 0..100 {
            b.write_all(&[7u8; 10_000]).unwrap();
        }
    });
    a.set_read_timeout(None).unwrap();
    let mut all = Vec::new();
    a.read_to_end(&mut all).unwrap();
    writer.join().unwrap();
    println!("{}", all.len());
    let (one, two) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    one.connect(two.local_addr().unwrap()).unwrap();
    let receiver = thread::spawn(move || {
        let mut bytes = [0u8; 20];
        let (n, _) = two.recv_from(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..n]).into_owned()
    });
    one.send(b"datagram").unwrap();
    println!("{}", receiver.join().unwrap());
    println!("{:?}", TcpStream::connect_timeout(&"127.0.0.1:1".parse().unwrap(), MS * 1000).unwrap_err().kind());
}

pub fn children_of_threads() {
    let threads: Vec<_> = (0..8)
        .map(|i| {
            thread::spawn(move || {
                let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
                write!(cat.stdin.take().unwrap(), "{}", i).unwrap();
                let out = cat.wait_with_output().unwrap();
                let status = Command::new("sh").args(["-c", &format!("exit {}", i)]).status().unwrap();
                (String::from_utf8(out.stdout).unwrap(), status.code().unwrap())
            })
        })
        .collect();
    println!("{:?}", threads.into_iter().map(|t| t.join().unwrap()).collect::<Vec<_>>());
    println!("{:?}", Command::new("/no/such/program").spawn().unwrap_err().kind());
}
