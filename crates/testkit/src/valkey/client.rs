//! A reader that shares no line with what it checks: the protocol by hand, one call at a time.

use std::io::{BufRead, BufReader, Error, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// Longer than any honest reply or awaited message.
const LONG: Duration = Duration::from_secs(20);

/// A connection to a Valkey server.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// What it replied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A string of either kind.
    Text(String),
    /// An error.
    Error(String),
    /// A number.
    Number(i64),
    /// Nothing.
    Nil,
    /// Several.
    List(Vec<Self>),
}

impl Reply {
    /// The text of a text, a number or an error.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) | Self::Error(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Nil => String::new(),
            Self::List(_) => panic!("a list: {self:?}"),
        }
    }

    /// The parts of a list.
    #[must_use]
    pub fn list(self) -> Vec<Self> {
        match self {
            Self::List(parts) => parts,
            Self::Text(_) | Self::Error(_) | Self::Number(_) | Self::Nil => {
                panic!("not a list: {self:?}")
            }
        }
    }
}

impl Client {
    /// Connects to a port on loopback.
    ///
    /// # Errors
    /// If nobody listens.
    pub fn try_connect(port: u16) -> Result<Self, Error> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(LONG))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends a call and waits for its reply.
    ///
    /// # Errors
    /// If the connection fails.
    pub fn try_call(&mut self, call: &[&str]) -> Result<Reply, Error> {
        let mut text = format!("*{}\r\n", call.len());
        for part in call {
            text += &format!("${}\r\n{part}\r\n", part.len());
        }
        self.stream.get_mut().write_all(text.as_bytes())?;
        self.reply()
    }

    /// Sends a call and waits for its reply.
    pub fn call(&mut self, call: &[&str]) -> Reply {
        self.try_call(call).unwrap()
    }

    /// Every entry of a stream: its id and the value of its only field.
    pub fn stream(&mut self, key: &str) -> Vec<(String, String)> {
        let entries = self.call(&["XRANGE", key, "-", "+"]).list();
        let read = entries.into_iter().map(|entry| {
            let entry = entry.list();
            let fields = entry[1].clone().list();
            assert_eq!(fields.len(), 2, "one field: {fields:?}");
            assert_eq!(fields[0].text(), "event");
            (entry[0].text(), fields[1].text())
        });
        read.collect()
    }

    /// Waits for the next message of a channel that was subscribed to.
    pub fn message(&mut self) -> String {
        let message = self.reply().unwrap().list();
        assert_eq!(message[0].text(), "message");
        message[2].text()
    }

    fn reply(&mut self) -> Result<Reply, Error> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let (kind, rest) = line.trim_end().split_at(1);
        let number = || rest.parse::<i64>().unwrap();
        Ok(match kind {
            "+" => Reply::Text(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Number(number()),
            "$" | "*" if number() < 0 => Reply::Nil,
            "$" => {
                let mut bytes = vec![0; usize::try_from(number()).unwrap() + 2];
                self.stream.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Reply::Text(String::from_utf8(bytes).unwrap())
            }
            "*" => Reply::List(
                (0..number())
                    .map(|_| self.reply())
                    .collect::<Result<_, _>>()?,
            ),
            other => panic!("not the protocol: {other}{rest}"),
        })
    }
}
