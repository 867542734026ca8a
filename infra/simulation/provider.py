"""One resource provider for every SDK: the engine's protocol, answered from schemas, rules and the account."""

from collections.abc import Mapping
from typing import Any, NoReturn

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from infra.simulation import lifecycle
from infra.simulation.faults import Dies, Fails
from infra.simulation.functions import FunctionRefused, answer
from infra.simulation.schema import Problem, version_of
from infra.simulation.settings import Settings, configuration_problems
from infra.simulation.wire import contains_unknown, decode, encode, secret_names
from infra.simulation.world import World

__all__ = ["SimulatedProvider"]

Context = grpc.ServicerContext


class SimulatedProvider(provider_pb2_grpc.ResourceProviderServicer):
    """Serves any number of engines at once, for one package; `on_death` is called when a fault ends the provider."""

    def __init__(self, world: World, package: str, on_death: Any) -> None:
        self.world = world
        self.package = package
        self.on_death = on_death

    def Handshake(self, request: Any, context: Context) -> Any:
        self.world.connect(context.peer(), request.engine_address)
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def Attach(self, request: Any, context: Context) -> Any:
        self.world.connect(context.peer(), request.address)
        return Empty()

    def GetPluginInfo(self, request: Any, context: Context) -> Any:
        return plugin_pb2.PluginInfo(version=version_of(self.package))

    def CheckConfig(self, request: Any, context: Context) -> Any:
        news = decode(request.news)
        found = [] if contains_unknown(news) else configuration_problems(self.package, news)
        return provider_pb2.CheckResponse(inputs=request.news, failures=_failures(found))

    def DiffConfig(self, request: Any, context: Context) -> Any:
        changed = decode(request.old_inputs) != decode(request.news)
        kinds = provider_pb2.DiffResponse
        return provider_pb2.DiffResponse(changes=kinds.DIFF_SOME if changed else kinds.DIFF_NONE)

    def Configure(self, request: Any, context: Context) -> Any:
        self.world.connection(context.peer()).settings = Settings.of(self.package, decode(request.args))
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Invoke(self, request: Any, context: Context) -> Any:
        connection = self.world.connection(context.peer())
        settings = self._settings(context)
        things = self.world.inside(settings.values.get("account", ""), connection.run)
        try:
            result = answer(request.tok, decode(request.args), settings, things)
        except FunctionRefused as error:
            failure = provider_pb2.CheckFailure(reason=str(error))
            return provider_pb2.InvokeResponse(failures=[failure])
        response = provider_pb2.InvokeResponse()
        getattr(response, "return").CopyFrom(encode(result))  # a word of Python's own
        return response

    def Check(self, request: Any, context: Context) -> Any:
        operation = self._operation(request, context)
        inputs, found = operation.check(decode(request.olds), decode(request.news), bytes(request.randomSeed))
        return provider_pb2.CheckResponse(inputs=encode(inputs, secret_names(request.news)), failures=_failures(found))

    def Diff(self, request: Any, context: Context) -> Any:
        operation = self._operation(request, context)
        difference = operation.diff(
            decode(request.old_inputs), decode(request.news), decode(request.olds), set(request.ignoreChanges)
        )
        kinds = provider_pb2.DiffResponse
        return provider_pb2.DiffResponse(
            changes=kinds.DIFF_SOME if difference.changes else kinds.DIFF_NONE,
            replaces=difference.replaces,
            diffs=list(dict.fromkeys(change.partition(".")[0].partition("[")[0] for change in difference.changes)),
            detailedDiff={
                path: _property_diff(kind, path in difference.forcing) for path, kind in difference.changes.items()
            },
            hasDetailedDiff=True,
            deleteBeforeReplace=difference.delete_first,
        )

    def Create(self, request: Any, context: Context) -> Any:
        secrets = secret_names(request.properties)
        operation = self._operation(request, context, request.preview)
        identifier, outputs = self._guard(context, lambda: operation.create(decode(request.properties), secrets))
        return provider_pb2.CreateResponse(
            id=identifier, properties=encode(outputs, secrets | operation.schema.secrets)
        )

    def Read(self, request: Any, context: Context) -> Any:
        operation = self._operation(request, context)
        state, inputs = decode(request.properties), decode(request.inputs)
        found = self._guard(context, lambda: operation.read(request.id, state, inputs))
        if found is None:
            return provider_pb2.ReadResponse()
        secrets = secret_names(request.properties) | secret_names(request.inputs) | operation.schema.secrets
        read_inputs, outputs = found
        return provider_pb2.ReadResponse(
            id=request.id, inputs=encode(read_inputs, secrets), properties=encode(outputs, secrets)
        )

    def Update(self, request: Any, context: Context) -> Any:
        secrets = secret_names(request.news)
        operation = self._operation(request, context, request.preview)
        outputs = self._guard(
            context, lambda: operation.update(request.id, decode(request.olds), decode(request.news), secrets)
        )
        return provider_pb2.UpdateResponse(properties=encode(outputs, secrets | operation.schema.secrets))

    def Delete(self, request: Any, context: Context) -> Any:
        operation = self._operation(request, context)
        self._guard(context, lambda: operation.delete(request.id, decode(request.properties)))
        return Empty()

    def GetMapping(self, request: Any, context: Context) -> Any:
        return provider_pb2.GetMappingResponse()

    def Cancel(self, request: Any, context: Context) -> Any:
        return Empty()

    def _settings(self, context: Context) -> Settings:
        return self.world.connection(context.peer()).settings or Settings.of(self.package, {})

    def _operation(self, request: Any, context: Context, preview: bool = False) -> lifecycle.Operation:
        stack, _, type_, name = request.urn.removeprefix("urn:pulumi:").split("::", 3)
        token = type_.rpartition("$")[2]
        settings = self._settings(context)
        run = self.world.connection(context.peer()).run
        try:
            return lifecycle.Operation.of(self.world, settings, token, request.urn, (stack, run), preview=preview)
        except lifecycle.Refused as error:
            _refuse(context, f"{name}: {error}")

    def _guard(self, context: Context, act: Any) -> Any:
        try:
            return act()
        except (lifecycle.Refused, Fails) as error:
            _refuse(context, str(error))
        except Dies:
            self.on_death()
            context.abort(grpc.StatusCode.UNAVAILABLE, "the simulated provider died at this moment, on purpose")


def _refuse(context: Context, why: str) -> NoReturn:
    context.abort(grpc.StatusCode.INVALID_ARGUMENT, why)
    raise AssertionError  # abort has raised


def _failures(found: list[Problem]) -> list[Any]:
    return [provider_pb2.CheckFailure(property=problem.path, reason=problem.reason) for problem in found]


def _property_diff(kind: str, replaces: bool) -> Any:
    kinds: Mapping[str, int] = {"added": 0, "deleted": 2, "updated": 4}
    return provider_pb2.PropertyDiff(kind=kinds[kind] + int(replaces), inputDiff=True)  # pyright: ignore[reportArgumentType]
