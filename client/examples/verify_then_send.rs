//! Verifies an instance behind a gateway, then seals one request to it and opens the answer. Nothing leaves this machine
//! before the evidence was accepted, and nothing leaves it unsealed.
//!
//! ```sh
//! cargo run -p teegate-client --example verify_then_send -- http://127.0.0.1:8080 policy.toml certificates/
//! ```
//!
//! The policy names your reference values and what they are bound to (`bound_to`); one about hardware alone is refused.
use std::process::ExitCode;

use teegate_client::oip::{Tensor, TensorData};
use teegate_client::{Client, Error, Gateway, Settings};
use teegate_intake::endorsements;
use teegate_verifier::Policy;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [gateway, policy, supplied] = arguments.as_slice() else {
        return Err("usage: verify_then_send GATEWAY POLICY.toml ENDORSEMENTS".into());
    };
    let gateway = Gateway::parse(gateway)?;
    let policy = Policy::parse(&std::fs::read_to_string(policy)?)?;
    let endorsements = endorsements::load_paths(&[supplied.into()])?;

    let client = Client::connect(gateway, "breast-cancer", policy, endorsements, Settings::default()).await;
    let client = match client {
        Ok(client) => client,
        Err(Error::NoCandidate { refused }) => {
            refused.iter().for_each(|why| eprintln!("{why}"));
            return Err("no instance that the gateway offers is acceptable; nothing was sealed".into());
        }
        Err(error) => return Err(error.into()),
    };

    let features = Tensor { name: "features".into(), shape: vec![1, 30], data: TensorData::Fp32(vec![0.5; 30]) };
    let (inference, reply) = client.infer(&[features]).await?;
    for output in &inference.outputs {
        println!("{}: {} {:?}", output.name, output.data.datatype(), output.shape);
    }
    // The receipt is signed by a key of the manifest that was verified: this request, on this model, gave this answer.
    if let Some(receipt) = &reply.receipt {
        println!("ran on model {}", receipt.model);
    }
    println!("the evidence holds until {}", reply.instance.attested().valid_until());
    Ok(())
}
