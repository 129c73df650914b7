//! Answers every event with `{}`, over one connection to Lambda's Runtime API, with nothing but hyper.

use std::error::Error;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API")?;
    let stream = TcpStream::connect(&api).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    loop {
        let next = Request::get("/2018-06-01/runtime/invocation/next").header("host", &api).body(Full::default())?;
        let event = sender.send_request(next).await?;
        let id = event.headers().get("lambda-runtime-aws-request-id").ok_or("no request id")?.to_str()?.to_owned();
        event.into_body().collect().await?;
        let response = Request::post(format!("/2018-06-01/runtime/invocation/{id}/response"))
            .header("host", &api)
            .body(Full::new(Bytes::from_static(b"{}")))?;
        sender.send_request(response).await?.into_body().collect().await?;
    }
}
