"""One hub or spoke, seen through gRPC's own C core. Owns channel, token, site and deadlines."""

import base64
import os

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from mosaic.agent.v1 import agent_pb2 as model
from mosaic.agent.v1 import agent_service_pb2 as wire
from mosaic.agent.v1 import agent_service_pb2_grpc

# Generous: a busy machine makes an agent in seconds, and a hang has to end all the same.
CALL_SECONDS = 30
STREAM_SECONDS = 60


def new_command_id():
    return os.urandom(16).hex()


def new_agent_id():
    return "ag_" + base64.b32encode(os.urandom(16)).decode().rstrip("=").lower()


class Endpoint:
    """AgentService at one address."""

    def __init__(self, name, target, site="", token=None):
        self.name = name
        self.site = site
        # Over a Unix socket the C core names the path as the authority, percent-encoded, which is
        # no authority (RFC 3986, section 3.2): a strict server resets the stream.
        self.channel = grpc.insecure_channel(target, [("grpc.default_authority", "localhost")])
        self.metadata = [("authorization", f"Bearer {token}")] if token else []
        self.stub = agent_service_pb2_grpc.AgentServiceStub(self.channel)

    def spawn(self, spec, command_id):
        request = wire.SpawnRequest(site=self.site, command_id=command_id, spec=spec)
        return self._call(self.stub.Spawn, request).agent

    def get(self, agent_id):
        return self._call(self.stub.Get, wire.GetRequest(site=self.site, agent_id=agent_id)).agent

    def list(self, **wanted):
        return self._call(self.stub.List, wire.ListRequest(site=self.site, **wanted))

    def kill(self, agent_id):
        request = wire.KillRequest(
            site=self.site, command_id=new_command_id(), agent_id=agent_id, reason="the client test"
        )
        request.grace.FromSeconds(0)
        return self._call(self.stub.Kill, request)

    def watch(self, agent_id, after=0, no_follow=False):
        request = wire.WatchRequest(site=self.site, agent_id=agent_id, after=after, no_follow=no_follow)
        for response in self._stream(self.stub.Watch, request):
            if response.WhichOneof("item") == "gap":
                raise AssertionError(f"events are missing: {response.gap}")
            yield response.event

    def logs(self, agent_id, cursor=0):
        request = wire.LogsRequest(site=self.site, agent_id=agent_id, cursor=cursor, follow=True)
        return self._stream(self.stub.Logs, request)

    def result(self, agent_id):
        request = wire.ResultRequest(
            site=self.site, agent_id=agent_id, format=wire.RESULT_FORMAT_PATCH
        )
        return list(self._stream(self.stub.Result, request))

    def wait_for(self, agent_id, last_type):
        """The agent's events up to the first of `last_type`, following the stream."""
        events = []
        stream = self.watch(agent_id)
        for event in stream:
            events.append(event)
            if event.type == last_type:
                stream.close()
                return events
        raise AssertionError(f"the stream ended without {last_type}: {[e.type for e in events]}")

    def _call(self, method, request):
        return method(request, timeout=CALL_SECONDS, metadata=self.metadata)

    def _stream(self, method, request):
        call = method(request, timeout=STREAM_SECONDS, metadata=self.metadata)
        try:
            yield from call
        finally:
            call.cancel()


def refusal(call):
    """The gRPC code and the stable reason with which `call` is refused."""
    try:
        result = call()
    except grpc.RpcError as error:
        status = rpc_status.from_call(error)
        for detail in status.details if status else []:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                assert info.domain == "mosaic", info
                return error.code().name, info.reason
        return error.code().name, None
    raise AssertionError(f"was not refused: {result}")


def state_name(agent):
    return model.AgentState.Name(agent.state).removeprefix("AGENT_STATE_")
