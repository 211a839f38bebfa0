//! The Transport field (RFC 2326 section 12.39): how the packets of one track travel.
//!
//! A client's `destination` and `source` are read over: packets go where the connection comes from. Parameters that are not known
//! are left out. Ports and channels are a pair, for RTP and RTCP; where only the first is named the second follows it.

use std::fmt;
use std::net::IpAddr;

/// One way that packets may travel.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Transport {
    /// Within the connection, between its messages; otherwise in datagrams.
    pub tcp: bool,
    /// To a group.
    pub multicast: bool,
    /// Channels of the connection.
    pub interleaved: Option<(u8, u8)>,
    /// The client's ports, 1 to 65535.
    pub client_port: Option<(u16, u16)>,
    /// The server's ports, 1 to 65535.
    pub server_port: Option<(u16, u16)>,
    /// A group's ports, 1 to 65535.
    pub port: Option<(u16, u16)>,
    /// A group's address, from a server.
    pub destination: Option<IpAddr>,
    /// Where packets come from, from a server.
    pub source: Option<IpAddr>,
    /// How many routers a group's packets pass.
    pub ttl: Option<u8>,
    /// The sender.
    pub ssrc: Option<u32>,
    /// The client sends.
    pub record: bool,
}

/// Why a way cannot be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Another protocol, or another profile of RTP: encrypted, with feedback.
    #[error("only RTP/AVP, RTP/AVP/UDP and RTP/AVP/TCP are spoken")]
    Profile,
    /// Numbers that are no ports.
    #[error("{0} is no pair of ports, 1 to 65535")]
    Ports(&'static str),
    /// Numbers that are no channels.
    #[error("interleaved is no pair of channels, 0 to 255")]
    Channels,
    /// Ports that belong to the client's system.
    #[error("client_port below 1024")]
    SystemPorts,
    /// A client that says not where to send.
    #[error("client_port is missing")]
    NoPorts,
    /// To send to a group's readers is the server's part.
    #[error("a client sends to no group")]
    RecordToGroup,
    /// The server does not go it.
    #[error("it is switched off here")]
    Disabled,
}

impl Transport {
    /// The ways that a field's value offers, the best first.
    pub fn parse_list(value: &str) -> impl Iterator<Item = Result<Self, TransportError>> {
        let mut quoted = false;
        value
            .split(move |character| {
                quoted ^= character == '"';
                character == ',' && !quoted
            })
            .filter(|offer| !offer.trim().is_empty())
            .map(Self::parse)
    }

    /// One way.
    ///
    /// # Errors
    /// See [`TransportError`].
    pub fn parse(offer: &str) -> Result<Self, TransportError> {
        let mut parameters = offer.split(';');
        let tcp = lower_transport(parameters.next().unwrap_or("").trim())?;
        let mut transport = Self { tcp, ..Self::default() };
        parameters.try_for_each(|parameter| transport.set(parameter))?;
        Ok(transport)
    }

    /// What a server answers, as far as it makes sense: numbers that are none are left out, and channels mean that the packets
    /// travel within the connection, whatever stands before them.
    pub fn parse_answer(value: &str) -> Self {
        let mut parameters = value.split(';');
        let profile = parameters.next().unwrap_or("").trim();
        let mut transport = Self { tcp: lower_transport(profile).unwrap_or(false), ..Self::default() };
        for parameter in parameters {
            // What is wrong with one says nothing of the others.
            let _ = transport.set(parameter);
        }
        transport.tcp |= transport.interleaved.is_some();
        transport
    }

    fn set(&mut self, parameter: &str) -> Result<(), TransportError> {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"'));
        match &name[..] {
            "unicast" => self.multicast = false,
            "multicast" => self.multicast = true,
            "interleaved" => self.interleaved = Some(pair(value, u8::MAX).ok_or(TransportError::Channels)?),
            "client_port" => self.client_port = Some(ports("client_port", value)?),
            "server_port" => self.server_port = Some(ports("server_port", value)?),
            "port" => self.port = Some(ports("port", value)?),
            "destination" => self.destination = value.parse().ok(),
            "source" => self.source = value.parse().ok(),
            "ttl" => self.ttl = value.parse().ok(),
            "ssrc" => self.ssrc = u32::from_str_radix(value, 16).ok(),
            "mode" => {
                let mut modes = value.split(',').map(str::trim);
                // "receive" is what old FFmpegs say for it.
                self.record = modes
                    .any(|mode| mode.eq_ignore_ascii_case("record") || mode.eq_ignore_ascii_case("receive"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether packets are to travel by TCP.
fn lower_transport(text: &str) -> Result<bool, TransportError> {
    match &text.to_ascii_uppercase()[..] {
        "RTP/AVP" | "RTP/AVP/UDP" => Ok(false),
        "RTP/AVP/TCP" => Ok(true),
        _ => Err(TransportError::Profile),
    }
}

fn ports(name: &'static str, value: &str) -> Result<(u16, u16), TransportError> {
    let (rtp, rtcp) = pair(value, u16::MAX).ok_or(TransportError::Ports(name))?;
    if rtp == 0 || rtcp == 0 { Err(TransportError::Ports(name)) } else { Ok((rtp, rtcp)) }
}

/// `a-b` or `a`, each at most `most`, and not the same.
fn pair<T: TryFrom<u32> + PartialEq>(value: &str, most: T) -> Option<(T, T)>
where
    u32: From<T>,
{
    let number = |text: &str| {
        let text = text.trim();
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok())?
    };
    let (first, second) = match value.split_once('-') {
        Some((first, second)) => (number(first)?, number(second)?),
        None => (number(value)?, number(value)?.checked_add(1)?),
    };
    let most = u32::from(most);
    if first > most || second > most || first == second {
        return None;
    }
    Some((T::try_from(first).ok()?, T::try_from(second).ok()?))
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tcp { "RTP/AVP/TCP" } else { "RTP/AVP" })?;
        f.write_str(if self.multicast { ";multicast" } else { ";unicast" })?;
        self.destination.map_or(Ok(()), |address| write!(f, ";destination={address}"))?;
        self.source.map_or(Ok(()), |address| write!(f, ";source={address}"))?;
        self.interleaved.map_or(Ok(()), |(rtp, rtcp)| write!(f, ";interleaved={rtp}-{rtcp}"))?;
        self.client_port.map_or(Ok(()), |(rtp, rtcp)| write!(f, ";client_port={rtp}-{rtcp}"))?;
        self.server_port.map_or(Ok(()), |(rtp, rtcp)| write!(f, ";server_port={rtp}-{rtcp}"))?;
        self.port.map_or(Ok(()), |(rtp, rtcp)| write!(f, ";port={rtp}-{rtcp}"))?;
        self.ttl.map_or(Ok(()), |ttl| write!(f, ";ttl={ttl}"))?;
        self.ssrc.map_or(Ok(()), |ssrc| write!(f, ";ssrc={ssrc:08X}"))?;
        f.write_str(if self.record { ";mode=record" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(text: &str) -> Transport {
        Transport::parse(text).unwrap()
    }

    #[test]
    fn offers_are_read_as_clients_write_them() {
        let tcp = one("RTP/AVP/TCP;unicast;interleaved=0-1");
        assert!(tcp.tcp && !tcp.multicast && !tcp.record);
        assert_eq!(tcp.interleaved, Some((0, 1)));
        assert_eq!(one("RTP/AVP/UDP;unicast;client_port=5000-5001").client_port, Some((5000, 5001)));
        assert_eq!(one("RTP/AVP;unicast;client_port=5000").client_port, Some((5000, 5001)));
        assert!(one("RTP/AVP;multicast").multicast);
        assert!(one("RTP/AVP/TCP;unicast;interleaved=0-1;mode=record").record);
        assert!(one(r#"RTP/AVP/TCP;unicast;interleaved=2-3;mode="RECORD""#).record);
        assert!(!one(r#"rtp/avp; unicast ; client_port = 5000 - 5001 ;mode="PLAY""#).record);
        assert_eq!(
            one("RTP/AVP;destination=10.0.0.9;append;layers=2;client_port=6000-6001;ssrc=zz").ssrc,
            None
        );
    }

    #[test]
    fn servers_answers_are_read() {
        let answer = one(
            "RTP/AVP/UDP;unicast;client_port=5000-5001;server_port=6000-6001;ssrc=6B8B4567;mode=\"PLAY\"",
        );
        assert_eq!((answer.server_port, answer.ssrc), (Some((6000, 6001)), Some(0x6B8B_4567)));
        let group = one("RTP/AVP;multicast;destination=239.1.1.1;port=5000-5001;ttl=1");
        assert_eq!((group.destination, group.ttl), (Some([239, 1, 1, 1].into()), Some(1)));
    }

    #[test]
    fn a_list_is_split_outside_of_quotes() {
        let list = r#"RTP/AVP/TCP;interleaved=0-1;mode="PLAY,RECORD",,RTP/SAVP;unicast, RTP/AVP;unicast;client_port=1024-1025"#;
        let offers: Vec<_> = Transport::parse_list(list).collect();
        assert_eq!(offers.len(), 3);
        assert!(offers[0].as_ref().unwrap().record);
        assert_eq!(offers[1], Err(TransportError::Profile));
        assert_eq!(offers[2].as_ref().unwrap().client_port, Some((1024, 1025)));
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        let error = |text: &str| Transport::parse(text).unwrap_err();
        for value in [
            "0-1",
            "0",
            "70000",
            "70000-70001",
            "65535",
            "-1",
            "",
            "a-b",
            "5000-5000",
            "1-0",
            "99999999999",
            "+5-6",
        ] {
            assert_eq!(
                error(&format!("RTP/AVP;client_port={value}")),
                TransportError::Ports("client_port"),
                "{value}"
            );
        }
        for value in ["256-257", "255", "0-256", "-1-0", "3-3", ""] {
            assert_eq!(
                error(&format!("RTP/AVP/TCP;interleaved={value}")),
                TransportError::Channels,
                "{value}"
            );
        }
        for text in ["", "RTP", "RAW/RAW/UDP", "RTP/SAVP", "RTP/AVPF", "x-real-rdt/tcp"] {
            assert_eq!(error(text), TransportError::Profile, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            (tcp, multicast, record) in any::<(bool, bool, bool)>(),
            interleaved in proptest::option::of((0_u8..255).prop_map(|rtp| (rtp, rtp + 1))),
            client_port in proptest::option::of((1_u16..65_535).prop_map(|rtp| (rtp, rtp + 1))),
            (server_port, port) in (proptest::option::of(Just((6000, 6001))), proptest::option::of(Just((8000, 8001)))),
            (ttl, ssrc, destination) in any::<(Option<u8>, Option<u32>, Option<std::net::IpAddr>)>(),
            source in any::<Option<std::net::IpAddr>>(),
        ) {
            let transport = Transport {
                tcp, multicast, interleaved, client_port, server_port, port, destination, source, ttl, ssrc, record,
            };
            prop_assert_eq!(Transport::parse(&transport.to_string()), Ok(transport));
        }

        #[test]
        fn nothing_panics(text in "\\PC{0,80}") {
            Transport::parse_list(&text).for_each(drop);
        }
    }
}
