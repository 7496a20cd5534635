//! A model's server that says what the test wrote down: Anthropic's Messages, as a stream of
//! events, on loopback. It serves one request on each connection.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What the model says next. What stands last is said again and again.
pub(crate) enum Say {
    /// These words, and nothing more to do.
    Text(&'static str),
    /// Use a tool: its name and input.
    Tool(&'static str, Value),
    /// An error of the server: HTTP status and type.
    Fail(u16, &'static str),
}

/// What the program asked.
#[derive(Clone)]
pub(crate) struct Asked {
    /// The key it came with.
    pub(crate) key: String,
    /// The whole request.
    pub(crate) body: String,
}

/// A running server. It ends with the test's process.
pub(crate) struct Model {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Model {
    pub(crate) fn start(script: Vec<Say>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (script, heard) = (Arc::new(script), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (script, heard) = (script.clone(), heard.clone());
                // A client that goes away is its own business.
                std::thread::spawn(move || drop(serve(&stream.unwrap(), &script, &heard)));
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every message that was asked for so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, script: &[Say], heard: &Mutex<Vec<Asked>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let header = |name: &str| {
        let fields = head.iter().filter_map(|line| line.split_once(": "));
        let mut fields = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        fields.next().map(|(_, value)| value.to_owned())
    };
    let length = header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if !head
        .first()
        .is_some_and(|first| first.starts_with("POST /v1/messages"))
    {
        return answer(stream, 200, "text/plain", "");
    }
    let body = String::from_utf8(body).unwrap();
    let model = serde_json::from_str::<Value>(&body).unwrap()["model"].clone();
    let key = header("x-api-key").unwrap_or_default();
    let turn = {
        let mut heard = heard.lock().unwrap();
        heard.push(Asked { key, body });
        heard.len()
    };
    match &script[(turn - 1).min(script.len() - 1)] {
        Say::Fail(status, kind) => {
            let error = json!({"type": "error", "error": {"type": kind, "message": "scripted"}});
            answer(stream, *status, "application/json", &error.to_string())
        }
        Say::Text(text) => {
            let start = json!({"type": "text", "text": ""});
            let delta = json!({"type": "text_delta", "text": text});
            speak(stream, &model, [start, delta], "end_turn")
        }
        Say::Tool(name, input) => {
            let id = format!("toolu_{turn:04}");
            let start = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
            let delta = json!({"type": "input_json_delta", "partial_json": input.to_string()});
            speak(stream, &model, [start, delta], "tool_use")
        }
    }
}

/// Streams one block of content, with the events around it.
fn speak(
    stream: &TcpStream,
    model: &Value,
    [start, delta]: [Value; 2],
    stop: &str,
) -> std::io::Result<()> {
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 10, "output_tokens": 1},
    });
    let events = [
        json!({"type": "message_start", "message": message}),
        json!({"type": "content_block_start", "index": 0, "content_block": start}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({
            "type": "message_delta",
            "delta": {"stop_reason": stop, "stop_sequence": null},
            "usage": {"output_tokens": 5},
        }),
        json!({"type": "message_stop"}),
    ];
    let event = |event: &Value| {
        let name = event["type"].as_str().unwrap();
        format!("event: {name}\ndata: {event}\n\n")
    };
    let body: String = events.iter().map(event).collect();
    answer(stream, 200, "text/event-stream", &body)
}

fn answer(mut stream: &TcpStream, status: u16, kind: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} scripted\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
}
