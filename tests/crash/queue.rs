//! What waits for a next hop and is on disk: it arrives whatever ended the agent, and hardly anything of it twice.

use crate::agent::{PATIENCE, Running, config, holds};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

const CONSUMERS: usize = 3;

/// A next hop over HTTP that takes everything, until it is dropped.
struct Hop {
    address: SocketAddr,
    arrived: Arc<Mutex<Vec<Vec<u8>>>>,
    ended: Arc<AtomicBool>,
}

impl Hop {
    fn start(address: SocketAddr) -> Hop {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (arrived, ended) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        let hop = Hop { address, arrived: Arc::clone(&arrived), ended: Arc::clone(&ended) };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let arrived = Arc::clone(&arrived);
                // The agent may be killed in the middle of a request.
                std::thread::spawn(move || serve(stream, &arrived).unwrap_or_default());
            }
        });
        hop
    }

    /// How often each request has arrived, once there are as many different ones.
    fn await_requests(&self, count: usize) -> BTreeMap<Vec<u8>, usize> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut times = BTreeMap::new();
            self.arrived.lock().unwrap().iter().for_each(|body| *times.entry(body.clone()).or_default() += 1);
            if times.len() >= count {
                return times;
            }
            assert!(Instant::now() < deadline, "{} of {count} arrived", times.len());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Hop {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream, arrived: &Mutex<Vec<Vec<u8>>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let body = message(&mut reader)?.1;
    arrived.lock().unwrap().push(body);
    (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

/// The head and the body of an HTTP message.
fn message(reader: &mut impl BufRead) -> std::io::Result<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body)?;
    Ok((head, body))
}

/// A port where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A request with a field that no schema knows, so that it is its own and no re-encoding keeps it.
fn request(number: usize, bytes: usize) -> Vec<u8> {
    let text = format!("{number:0>bytes$}");
    let mut request = vec![0xE2, 0x76];
    prost::encoding::encode_varint(text.len() as u64, &mut request);
    request.extend_from_slice(text.as_bytes());
    request
}

/// The head of the answer.
fn post(agent: SocketAddr, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(agent).unwrap();
    let length = body.len();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\ncontent-length: {length}\r\n\r\n"
    );
    // One that is told to come again may find its body not read.
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
    message(&mut BufReader::new(stream)).unwrap().0
}

struct World {
    folder: tempfile::TempDir,
    sent: Vec<Vec<u8>>,
}

impl World {
    fn new() -> World {
        World { folder: tempfile::tempdir().unwrap(), sent: Vec::new() }
    }

    fn config(&self, hop: SocketAddr) -> String {
        let exporters = format!(
            "exporters: {{otlp_http/next: {{endpoint: 'http://{hop}', compression: none, \
             retry_on_failure: {{initial_interval: 20ms, max_interval: 50ms}}, \
             sending_queue: {{storage: file_storage, num_consumers: {CONSUMERS}}}}}}}\n"
        );
        let text = config(&self.folder.path().join("storage"));
        exporters + &text.replace("receivers: [otlp]", "receivers: [otlp], exporters: [otlp_http/next]")
    }

    fn start(&self, hop: SocketAddr) -> Running {
        Running::start(&self.config(hop), &[])
    }

    /// Sends so many requests, all of which are acknowledged.
    fn send(&mut self, agent: SocketAddr, count: usize) {
        for _ in 0..count {
            let body = request(self.sent.len(), 40);
            let answer = post(agent, &body);
            assert!(answer.starts_with("http/1.1 200"), "{answer}");
            self.sent.push(body);
        }
    }

    /// All arrive, as they were sent; some arrive again, at the most so many.
    fn arrive(&self, hop: &Hop, repeated: usize) {
        let times = hop.await_requests(self.sent.len());
        assert!(times.keys().eq(&self.sent), "all of it, and nothing else");
        let again = times.values().sum::<usize>() - times.len();
        assert!(again <= repeated, "{again} repeated, not {repeated}");
    }

    fn log(&self) -> PathBuf {
        only(&self.folder.path().join("storage/queue-otlp_http%2fnext"), "requests-")
    }
}

fn only(folder: &Path, prefix: &str) -> PathBuf {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(prefix);
    let [path] = &paths.filter(named).collect::<Vec<_>>()[..] else { panic!("not one {prefix}") };
    path.clone()
}

#[test]
fn what_waited_for_a_dead_next_hop_arrives_after_kill_9_each_once() {
    let (mut world, hop) = (World::new(), nobody());
    for _ in 0..3 {
        let mut agent = world.start(hop);
        world.send(agent.addresses().http, 60);
        agent.kill();
    }
    let hop = Hop::start(hop);
    let mut agent = world.start(hop.address);
    agent.addresses();
    world.arrive(&hop, 0);
    agent.stop();
    let mut agent = world.start(hop.address);
    let page = agent.addresses().page();
    assert!(page.contains("isotel_exporter_queue_size{exporter=\"otlp_http/next\"} 0"), "{page}");
    let folder = world.folder.path().join("storage/queue-otlp_http%2fnext");
    assert!(!holds(&folder, "0000000001"), "what was delivered is gone from the disk at the next start");
    agent.kill();
    world.arrive(&hop, 0);
}

#[test]
fn a_kill_while_requests_leave_repeats_one_for_each_consumer_at_the_most() {
    let mut world = World::new();
    let hop = Hop::start("127.0.0.1:0".parse().unwrap());
    let kills = 8;
    for kill in 0..kills {
        let mut agent = world.start(hop.address);
        world.send(agent.addresses().http, 25 + kill);
        agent.kill();
    }
    let mut agent = world.start(hop.address);
    agent.addresses();
    world.arrive(&hop, kills * CONSUMERS);
    agent.stop();
}

#[test]
fn sigterm_with_a_dead_next_hop_keeps_what_waits() {
    let (mut world, hop) = (World::new(), nobody());
    let mut agent = world.start(hop);
    world.send(agent.addresses().http, 50);
    agent.signal("-TERM");
    assert!(agent.ended().success());
    assert!(agent.has_logged("requests wait on disk for the next start"));
    let hop = Hop::start(hop);
    let mut agent = world.start(hop.address);
    agent.addresses();
    world.arrive(&hop, 0);
    agent.stop();
}

#[test]
fn a_queue_that_fills_its_disk_tells_senders_to_come_again_until_there_is_room() {
    let (mut world, hop) = (World::new(), nobody());
    let text = world.config(hop).replace("fsync_interval", "max_bytes: 1MiB, fsync_interval");
    // The evidence's own log is another one.
    let mut agent = Running::start(&text.replace("\n  storage: file_storage", ""), &[]);
    let addresses = agent.addresses();
    let refused = loop {
        let body = request(world.sent.len(), 50_000);
        let answer = post(addresses.http, &body);
        if !answer.starts_with("http/1.1 200") {
            break answer;
        }
        world.sent.push(body);
        assert!(world.sent.len() < 100, "the bound does not hold");
    };
    assert!(refused.starts_with("http/1.1 503") && refused.contains("retry-after: 1"), "{refused}");
    assert!(world.sent.len() > 15, "{}", world.sent.len());
    assert!(addresses.page().contains("isotel_receiver_shed_requests{reason=\"queue\"} 1"));
    let hop = Hop::start(hop);
    hop.await_requests(world.sent.len());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let body = request(world.sent.len(), 50_000);
        if post(addresses.http, &body).starts_with("http/1.1 200") {
            world.sent.push(body);
            break;
        }
        assert!(Instant::now() < deadline, "what was delivered gives no room");
    }
    world.arrive(&hop, 0);
    agent.stop();
}

#[test]
fn a_damaged_request_in_the_queue_is_left_out_by_name_and_the_others_arrive() {
    let (mut world, hop) = (World::new(), nobody());
    let mut agent = world.start(hop);
    world.send(agent.addresses().http, 20);
    agent.kill();
    let log = world.log();
    let mut bytes = std::fs::read(&log).unwrap();
    let lost = world.sent.remove(7);
    let at = bytes.windows(lost.len()).position(|window| window == lost).unwrap();
    bytes[at + 10] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let hop = Hop::start(hop);
    let mut agent = world.start(hop.address);
    let told = agent.wait("a part of the log is damaged and left out");
    assert_eq!((told["file"].as_str(), told["what"].as_str()), (log.to_str(), Some("record body")));
    let page = agent.addresses().page();
    assert!(page.contains("isotel_exporter_damaged_records{exporter=\"otlp_http/next\"} 1"), "{page}");
    world.arrive(&hop, 0);
    agent.stop();
}

#[test]
fn a_reload_keeps_the_queue_and_one_with_another_next_hop_sends_it_there() {
    let (mut world, dead) = (World::new(), nobody());
    let mut agent = world.start(dead);
    let addresses = agent.addresses();
    world.send(addresses.http, 20);
    std::fs::write(&agent.config, world.config(dead).replace("period: 1h", "period: 50m")).unwrap();
    agent.signal("-HUP");
    agent.wait("configuration reloaded");
    world.send(addresses.http, 20);
    let hop = Hop::start("127.0.0.1:0".parse().unwrap());
    std::fs::write(&agent.config, world.config(hop.address)).unwrap();
    agent.signal("-HUP");
    agent.wait("configuration reloaded");
    world.send(addresses.http, 20);
    world.arrive(&hop, 0);
    agent.stop();
}

#[test]
fn a_queue_that_cannot_be_opened_fails_the_start_by_name() {
    let world = World::new();
    let storage = world.folder.path().join("storage");
    std::fs::create_dir(&storage).unwrap();
    std::fs::write(storage.join("queue-otlp_http%2fnext"), "").unwrap();
    let mut agent = world.start(nobody());
    assert_eq!(agent.ended().code(), Some(2));
    let said = format!("{:?}", agent.logged);
    for part in
        ["exporters.otlp_http/next.sending_queue.storage", "queue-otlp_http%2fnext", "name another directory"]
    {
        assert!(said.contains(part), "{part} in {said}");
    }
}
