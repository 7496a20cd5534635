"""An independent client: every claim below holds at a hub and at a spoke, in the same words.

Started by tests/python/run. Prints each claim as it is proved and stops at the first that is not.
"""

import os
import pathlib
import sys

import endpoint as at
from endpoint import Endpoint, new_agent_id, new_command_id, refusal, state_name
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from mosaic.agent.v1 import agent_pb2 as model
from mosaic.agent.v1 import agent_service_pb2 as wire

SERVICE = "mosaic.agent.v1.AgentService"
REPOSITORY = os.environ["REPO_ALIAS"]

# The profile `command` runs its task as a shell script.
WRITES_A_FILE = "echo to-stdout; echo to-stderr >&2; echo by-the-client > from-python.txt"
EXITS_WITH_3 = "exit 3"
RUNS_ON = "echo unfinished > half-done.txt; setsid sleep 600 & echo started; sleep 600"


def spec(task, **more):
    more.setdefault("agent_id", new_agent_id())
    return model.AgentSpec(profile="command", repository=REPOSITORY, task=task, **more)


def health_says_serving(site):
    stub = health_pb2_grpc.HealthStub(site.channel)
    for service in ("", SERVICE):
        request = health_pb2.HealthCheckRequest(service=service)
        answer = stub.Check(request, timeout=at.CALL_SECONDS, metadata=site.metadata)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, (service, answer)


def reflection_describes_the_service_of_proto(site):
    # Version v1, which the package does not speak; its messages are those of v1alpha, byte for byte.
    ask = site.channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    questions = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
    ]
    listed, described = ask(iter(questions), timeout=at.CALL_SECONDS, metadata=site.metadata)
    names = [service.name for service in listed.list_services_response.service]
    assert SERVICE in names, names
    ours = [m.name for m in wire.DESCRIPTOR.services_by_name["AgentService"].methods]
    files = map(descriptor_pb2.FileDescriptorProto.FromString, described.file_descriptor_response.file_descriptor_proto)
    served = [m.name for f in files for s in f.service if s.name == "AgentService" for m in s.method]
    assert served == ours, (served, ours)


def a_spawned_agent_completes_and_is_cleaned_up(site):
    wanted = spec(WRITES_A_FILE, task_id="python-completes", labels={"made.by": "python"})
    command = new_command_id()
    agent = site.spawn(wanted, command)
    assert agent.agent_id == wanted.agent_id and agent.task_id == "python-completes", agent

    events = site.wait_for(agent.agent_id, "agent.cleanup")
    types = [event.type for event in events]
    assert types[-2:] == ["agent.completed", "agent.cleanup"], types
    assert [t for t in types if t in ("agent.spawning", "agent.running")] == ["agent.spawning", "agent.running"], types
    sequences = [event.sequence for event in events]
    assert sequences == sorted(set(sequences)), sequences

    ended = site.get(agent.agent_id)
    assert state_name(ended) == "COMPLETED" and ended.cause.exit_code == 0, ended
    for step in (ended.cleanup.sandbox, ended.cleanup.rescue, ended.cleanup.worktree):
        assert step.outcome == model.CLEANUP_OUTCOME_DONE, ended.cleanup
    assert ended.cleanup.state.outcome != model.CLEANUP_OUTCOME_FAILED, ended.cleanup
    assert ended.cleanup.rescue_ref == f"refs/mosaic/agents/{agent.agent_id}", ended.cleanup
    return wanted, command, events


def a_repeat_finds_the_same_agent_and_another_request_conflicts(site, wanted, command):
    assert site.spawn(wanted, command).agent_id == wanted.agent_id
    assert len(site.list(task_id=wanted.task_id, labels=dict(wanted.labels)).agents) >= 1
    other = model.AgentSpec()
    other.CopyFrom(wanted)
    other.task = "echo another task"
    assert refusal(lambda: site.spawn(other, command)) == ("ALREADY_EXISTS", "COMMAND_CONFLICT")


def watch_resumes_from_a_cursor_without_gap_or_repetition(site, agent_id, events):
    rest = list(site.watch(agent_id, after=events[0].sequence, no_follow=True))
    assert [e.sequence for e in rest] == [e.sequence for e in events[1:]], (rest, events)


def logs_hold_both_streams_and_resume(site, agent_id):
    chunks = list(site.logs(agent_id))
    out = b"".join(c.data for c in chunks if c.stream == wire.OUTPUT_STREAM_STDOUT)
    err = b"".join(c.data for c in chunks if c.stream == wire.OUTPUT_STREAM_STDERR)
    assert out == b"to-stdout\n" and err == b"to-stderr\n", (out, err)
    again = site.logs(agent_id, cursor=chunks[0].next_cursor)
    assert [c.data for c in again] == [c.data for c in chunks[1:]], (again, chunks)


def result_is_summary_then_commits_then_patch(site, agent_id):
    items = site.result(agent_id)
    kinds = [item.WhichOneof("item") for item in items]
    assert kinds == sorted(kinds, key=["summary", "commit", "patch"].index), kinds
    summary = items[0].summary
    assert summary.files_changed == 1 and summary.insertions == 1 and summary.deletions == 0, summary
    assert summary.base_commit != summary.rescue_commit, summary
    assert [i.commit.rescue for i in items if i.HasField("commit")] == [True], items
    patch = b"".join(item.patch for item in items)
    assert b"from-python.txt" in patch and b"+by-the-client" in patch, patch


def a_failing_program_is_told_by_its_exit_code(site):
    agent = site.spawn(spec(EXITS_WITH_3), new_command_id())
    site.wait_for(agent.agent_id, "agent.cleanup")
    ended = site.get(agent.agent_id)
    assert state_name(ended) == "FAILED" and ended.cause.exit_code == 3, ended


def kill_ends_a_running_agent_and_keeps_its_work(site):
    agent = site.spawn(spec(RUNS_ON), new_command_id())
    site.wait_for(agent.agent_id, "agent.running")
    # The file is written once the script says so: only then is there work to keep.
    assert any(b"started" in chunk.data for chunk in site.logs(agent.agent_id))
    killed = site.kill(agent.agent_id)
    assert killed.outcome == wire.KILL_OUTCOME_KILLED, killed
    ended = site.get(agent.agent_id)
    assert state_name(ended) == "KILLED" and ended.cause.killed.reason == "the client test", ended
    assert site.kill(agent.agent_id).outcome == wire.KILL_OUTCOME_ALREADY_ENDED
    patch = b"".join(item.patch for item in site.result(agent.agent_id))
    assert b"+unfinished" in patch, patch


def a_kill_before_the_spawn_wins(site):
    barred = spec(WRITES_A_FILE)
    assert site.kill(barred.agent_id).outcome == wire.KILL_OUTCOME_NEVER_STARTED
    assert refusal(lambda: site.spawn(barred, new_command_id())) == ("FAILED_PRECONDITION", "AGENT_BARRED")


def bad_requests_are_refused_with_a_stable_reason(site):
    hostile = spec(WRITES_A_FILE, agent_id="../../etc/passwd")
    assert refusal(lambda: site.spawn(hostile, new_command_id())) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert refusal(lambda: site.get(new_agent_id())) == ("NOT_FOUND", "AGENT_NOT_FOUND")


def a_hub_refuses_a_client_without_a_token(site):
    for token in (None, "not-a-token"):
        stranger = Endpoint("stranger", os.environ["HUB_ENDPOINT"], site.site, token)
        assert refusal(lambda: stranger.list()) == ("UNAUTHENTICATED", "TOKEN_INVALID")


def prove(claim, site, *more):
    try:
        result = claim(site, *more)
    except Exception as error:
        print(f"FAILED {site.name}: {claim.__name__.replace('_', ' ')}: {error}", flush=True)
        raise
    prove.count += 1
    print(f"ok     {site.name}: {claim.__name__.replace('_', ' ')}", flush=True)
    return result


prove.count = 0


def main():
    token = pathlib.Path(os.environ["HUB_TOKEN_FILE"]).read_text().strip()
    hub = Endpoint("hub", os.environ["HUB_ENDPOINT"], os.environ.get("SITE", ""), token)
    spoke = Endpoint("spoke", "unix:" + os.environ["SPOKE_SOCKET"])
    prove(a_hub_refuses_a_client_without_a_token, hub)
    for site in (hub, spoke):
        prove(health_says_serving, site)
        prove(reflection_describes_the_service_of_proto, site)
        wanted, command, events = prove(a_spawned_agent_completes_and_is_cleaned_up, site)
        prove(a_repeat_finds_the_same_agent_and_another_request_conflicts, site, wanted, command)
        prove(watch_resumes_from_a_cursor_without_gap_or_repetition, site, wanted.agent_id, events)
        prove(logs_hold_both_streams_and_resume, site, wanted.agent_id)
        prove(result_is_summary_then_commits_then_patch, site, wanted.agent_id)
        prove(a_failing_program_is_told_by_its_exit_code, site)
        prove(kill_ends_a_running_agent_and_keeps_its_work, site)
        prove(a_kill_before_the_spawn_wins, site)
        prove(bad_requests_are_refused_with_a_stable_reason, site)
    print(f"claims: {prove.count} passed, 0 failed")


if __name__ == "__main__":
    sys.exit(main())
