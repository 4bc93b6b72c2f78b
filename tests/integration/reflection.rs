//! A gRPC client that knows nothing beforehand: it asks the server for its descriptors, as grpcurl
//! does, and builds its calls from those.

use std::collections::BTreeSet;

use prost::Message as _;
use prost::bytes::{Buf, BufMut};
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::Value;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

async fn described(
    client: &mut ServerReflectionClient<Channel>,
    of: MessageRequest,
) -> Vec<FileDescriptorProto> {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(of.clone()),
    };
    let asked = tokio_stream::once(request);
    let answers = client.server_reflection_info(asked).await;
    let mut answers = answers.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::FileDescriptorResponse(files)) = answer.message_response else {
        panic!("no descriptors of {of:?}: {answer:?}");
    };
    let files = files.file_descriptor_proto.into_iter();
    files
        .map(|it| FileDescriptorProto::decode(it.as_slice()).unwrap())
        .collect()
}

/// A server, and what it said of itself.
pub(crate) struct Reflected {
    channel: Channel,
    pool: DescriptorPool,
}

impl Reflected {
    /// Asks a server for the file that has a service in it.
    pub(crate) async fn ask(address: &str, service: &str) -> Self {
        let endpoint = Endpoint::from_shared(address.to_owned()).unwrap();
        let channel = endpoint.connect().await.unwrap();
        let mut client = ServerReflectionClient::new(channel.clone());
        let symbol = MessageRequest::FileContainingSymbol(service.to_owned());
        let mut files = described(&mut client, symbol).await;
        let mut asked = BTreeSet::new();
        // A file comes without those that it imports.
        while let Some(missing) = files
            .iter()
            .flat_map(|it| &it.dependency)
            .find(|it| !asked.contains(*it))
            .cloned()
        {
            asked.insert(missing.clone());
            let imported = MessageRequest::FileByFilename(missing);
            files.extend(described(&mut client, imported).await);
        }
        let mut pool = DescriptorPool::new();
        pool.add_file_descriptor_protos(files).unwrap();
        Self { channel, pool }
    }

    /// Calls `package.Service/Method` with a message in JSON.
    pub(crate) async fn call(&self, method: &str, json: &Value) -> Result<DynamicMessage, Status> {
        let (service, name) = method.split_once('/').unwrap();
        let service = self.pool.get_service_by_name(service).unwrap();
        let found = service.methods().find(|it| it.name() == name).unwrap();
        let message = DynamicMessage::deserialize(found.input(), json).unwrap();
        let mut client = Grpc::new(self.channel.clone());
        client.ready().await.unwrap();
        let path = format!("/{method}").parse().unwrap();
        let codec = Dynamic(found.output());
        let answer = client.unary(Request::new(message), path, codec).await?;
        Ok(answer.into_inner())
    }
}

/// Writes any message, and reads the one it was told of.
#[derive(Clone)]
struct Dynamic(MessageDescriptor);

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        self.clone()
    }

    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl Encoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item.encode_to_vec().as_slice());
        Ok(())
    }
}

impl Decoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        DynamicMessage::decode(self.0.clone(), bytes)
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}
