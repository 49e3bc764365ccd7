"""One MQTT 5 connection, with every way it can end made an UplinkError with a word for the page.

The only importer of aiomqtt (and of paho below it), whose traps it hides: PUBACK and SUBACK reason
codes are returned instead of dropped, a publish notices a lost connection at once instead of after
its timeout, the reason of a DISCONNECT is kept, Nagle is off, the incoming queue is bounded, and a
socket never outlives its connection. It knows no topics and never reconnects: that is uplink.py.

Leaving `connected` by an error or by cancellation closes the socket without DISCONNECT, so that the
broker publishes the Will; only `Connection.disconnect` takes an orderly leave.

States: unreachable, refused, not-authorised, wrong-protocol, quota, lost, taken-over, needs-tls
(the broker speaks TLS and was not asked to), and those of tls.py.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import aiomqtt
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.client import ConnectFlags, DisconnectFlags
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from shorewatch.errors import UplinkError
from shorewatch.mqtt.tls import Context, Tls, explained, load_context, speaks_tls

KEEPALIVE_S: Final = 10
TIMEOUT_S: Final = 10.0
CONNECT_S_MAX: Final = 5.0
ABANDON_S_MAX: Final = 0.5
ANSWER_S_MAX: Final = 60.0
IN_FLIGHT_MAX: Final = 16
NO_SUBSCRIBERS: Final = 0x10
# What the kernel may hold unsent. More, and live values would wait there and grow old on a line
# that is too slow for them; what was not taken yet is replaced by what is newer.
UNSENT_BYTES_MAX: Final = 16_384
_SOCKET_OPTIONS = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
if hasattr(socket, "TCP_NOTSENT_LOWAT"):
    _SOCKET_OPTIONS.append((socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX))
_PACKET_BYTES_MAX = 268_435_455
_STATES = {
    0x82: "wrong-protocol", 0x84: "wrong-protocol",
    0x86: "not-authorised", 0x87: "not-authorised", 0x8A: "not-authorised",
    0x8C: "not-authorised",
    0x8E: "taken-over",
    0x93: "quota", 0x95: "quota", 0x96: "quota", 0x97: "quota", 0x9F: "quota",
}  # fmt: skip
_Answer = TypeVar("_Answer")
_AFTER_TLS = "it may refuse our certificate, want one, or speak no MQTT 5"
_KEEPALIVE_TIMEOUT = 0x8D
_NO_MQTT = (0x00, 0x80, 0x81, 0x82)
_LOST = (0x00, 0x04, 0x80, 0x8B, _KEEPALIVE_TIMEOUT)
# paho logs as errors what we raise as errors.
_SILENT = logging.getLogger(f"{__name__}.paho")
_SILENT.setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says for us, when we are gone without a word."""

    topic: str
    payload: bytes
    is_retained: bool = True


@dataclass(frozen=True, slots=True)
class Message:
    """A message received; `is_retained` if it was the broker's stored one."""

    topic: str
    payload: bytes
    is_retained: bool


class Connection:
    """A live connection; every method raises UplinkError when it is gone."""

    def __init__(self, client: "_Client", broker: str) -> None:
        self._client = client
        self._broker = broker
        self.packet_bytes_max = client.packet_bytes_max
        self.receive_max = client.receive_max
        self.certificate_until = None if client.context is None else client.context.broker
        self._slots = asyncio.Semaphore(min(IN_FLIGHT_MAX, client.receive_max))

    @property
    def unanswered_s(self) -> float:
        """Seconds for which the broker has owed us the oldest answer; 0 if it owes none."""
        return self._client.unanswered_s()

    @property
    def discarded(self) -> int:
        """Messages thrown away, oldest first, since they came faster than they were taken."""
        return self._client.inbox.discarded

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        is_retained: bool = False,
        expiry_s: int | None = None,
    ) -> int:
        """Send a message; the broker's reason code: 0 taken, 0x10 nobody listens, 0x80.. refused.

        With QoS 0 it returns 0 as soon as the message is written to the socket. With QoS 1 up to
        `IN_FLIGHT_MAX` are in flight, or what the broker allows; they leave in the order of calls.
        """
        properties = _properties(PacketTypes.PUBLISH)
        if expiry_s is not None:
            properties.MessageExpiryInterval = expiry_s
        try:
            if qos == 0:
                return await self._client.send(topic, payload, 0, is_retained, properties)
            async with self._slots:
                return await self._client.send(topic, payload, qos, is_retained, properties)
        except aiomqtt.MqttError as error:
            raise self._ended(error) from error

    async def subscribe(
        self, *topics: str, is_as_published: bool = False, with_retained: bool = True
    ) -> list[int]:
        """Subscribe with QoS 1; the broker's reason code for each topic, 0x80 and up is refused.

        With `is_as_published` a live message is also `is_retained` if it was sent so; without
        `with_retained` what stands at the broker is not sent.
        """
        handling = (
            SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE
            if with_retained
            else SubscribeOptions.RETAIN_DO_NOT_SEND
        )
        options = SubscribeOptions(
            qos=1, retainAsPublished=is_as_published, retainHandling=handling
        )
        try:
            codes = await self._client.ask([(topic, options) for topic in topics])
        except aiomqtt.MqttError as error:
            raise self._ended(error) from error
        return [code.value if isinstance(code, ReasonCode) else code for code in codes]

    async def messages(self) -> AsyncGenerator[Message, None]:
        """What arrives, until the connection ends (UplinkError)."""
        try:
            async for message in self._client.messages:
                assert isinstance(message.payload, (bytes, bytearray)), "paho delivers bytes"
                yield Message(message.topic.value, bytes(message.payload), message.retain)
        except aiomqtt.MqttError as error:
            raise self._ended(error) from error

    async def disconnect(self, *, with_will: bool = False) -> None:
        """Leave in order: the broker drops the Will, or publishes it if that is asked."""
        await self._client.leave(with_will=with_will)

    def _ended(self, error: aiomqtt.MqttError) -> UplinkError:
        if (nonsense := self._client.nonsense) is not None:
            text = f"{self._broker} sent what is no MQTT 5 ({str(nonsense)[:80]}): replace it"
            return UplinkError("wrong-protocol", text)
        reason = self._client.ended_with
        if reason is None:
            text = f"{self._broker} did not answer within {TIMEOUT_S:g} s: it is stalled or cut off"
            return UplinkError("lost", text)
        if reason.value == 0x8E:
            text = (
                f"{self._broker} gave our connection to another client with our client id:"
                " two gateways run with one identity, stop one or set another client_id"
            )
            return UplinkError("taken-over", text)
        if reason.value in _LOST:
            return UplinkError("lost", f"{self._broker} is gone: {str(reason).lower()}")
        state = _STATES.get(reason.value, "refused")
        return UplinkError(state, f"{self._broker} dropped us: {str(reason).lower()} ({error})")


@asynccontextmanager
async def connected(
    host: str,
    port: int,
    *,
    client_id: str,
    login: tuple[str, str | None] | None = None,
    tls: Tls | None = None,
    will: Will | None = None,
    keepalive_s: int = KEEPALIVE_S,
    incoming_bytes_max: int = 4096,
    incoming_count_max: int = 256,
) -> AsyncIterator[Connection]:
    """A connection to the broker at `host`:`port` (clean start, no session kept).

    `login` is user and password; with `tls` nothing of it leaves before the broker is known.

    A broker that falls silent is noticed after at most twice `keepalive_s` and a second.

    Larger packets than `incoming_bytes_max` are not sent to us; more than `incoming_count_max`
    waiting messages discard the oldest. Raises UplinkError if the broker cannot be had.
    """
    broker = f"{host}:{port}"
    limits = incoming_bytes_max, incoming_count_max
    context = None if tls is None else await asyncio.to_thread(load_context, tls)
    client = _Client(host, port, client_id, login, will, keepalive_s, limits, context)
    try:
        await _finish(client)
    except (aiomqtt.MqttError, UnicodeError) as error:  # UnicodeError: a host of no form
        client.abort()
        if context is not None and context.error is not None:
            has_own = tls is not None and tls.cert_file is not None
            raise explained(broker, context.error, has_own=has_own) from error
        if client.is_misunderstood and context is None and await _speaks_tls(host, port):
            text = f"{broker} speaks TLS: the url must begin with mqtts://"
            raise UplinkError("needs-tls", text) from error
        raise _not_connected(broker, client, error) from error
    except BaseException:
        client.abort()
        raise
    try:
        yield Connection(client, broker)
    finally:
        client.abort()


async def _finish(client: "_Client") -> None:
    """Connect. If cancelled, at once: the thread, which cannot be, gets no socket after that."""
    task = asyncio.ensure_future(client.__aenter__())
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        client.is_abandoned = True
        # A name that is not found, or a host that is silent, would hold us for long.
        for _ in range(round(ABANDON_S_MAX / 0.05)):
            client.hang_up()
            await asyncio.wait([task], timeout=0.05)
            if task.done():
                break
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise


async def _speaks_tls(host: str, port: int) -> bool:
    return await asyncio.to_thread(speaks_tls, host, port)


def _not_connected(broker: str, client: "_Client", error: Exception) -> UplinkError:
    if not client.was_opened:
        text = f"{broker} cannot be reached: {error}"
        return UplinkError("unreachable", text, was_reached=False)
    reason = client.refused_with or client.ended_with
    if reason is None or reason.value == _KEEPALIVE_TIMEOUT:
        text = (
            f"{broker} took the connection but did not answer: it is stalled, or no MQTT 5 broker"
        )
        return UplinkError("unreachable", text)
    if reason.value in _LOST:
        hint = "does it speak MQTT 5?" if client.context is None else _AFTER_TLS
        text = f"{broker} closed the connection without a word: {hint}"
        return UplinkError("refused", text)
    state = _STATES.get(reason.value, "refused")
    hint = ": does it speak MQTT 5?" if state == "wrong-protocol" else ""
    return UplinkError(state, f"{broker} refused the connection: {str(reason).lower()}{hint}")


def _properties(packet_type: int) -> Properties:
    return Properties(packet_type)  # type: ignore[no-untyped-call]


def _will(will: Will) -> aiomqtt.Will:
    return aiomqtt.Will(will.topic, will.payload, 1, will.is_retained)


class _Newest(asyncio.Queue[aiomqtt.Message]):
    """A bounded queue that discards its oldest message instead of refusing the newest."""

    discarded = 0

    def put_nowait(self, item: aiomqtt.Message) -> None:
        if self.full():
            self.get_nowait()
            self.discarded += 1
        super().put_nowait(item)


class _Client(aiomqtt.Client):
    """aiomqtt's client, which keeps what aiomqtt throws away."""

    def __init__(
        self,
        host: str,
        port: int,
        client_id: str,
        login: tuple[str, str | None] | None,
        will: Will | None,
        keepalive_s: int,
        limits: tuple[int, int],
        context: Context | None,
    ) -> None:
        """`limits`: bytes of an incoming message, and how many may wait."""
        incoming_bytes_max, incoming_count_max = limits
        connect = _properties(PacketTypes.CONNECT)
        connect.MaximumPacketSize = incoming_bytes_max
        super().__init__(
            host,
            port,
            identifier=client_id,
            username=login and login[0],
            password=login and login[1],
            logger=_SILENT,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=True,
            keepalive=keepalive_s,
            timeout=TIMEOUT_S,
            will=None if will is None else _will(will),
            properties=connect,
            queue_type=_Newest,
            max_queued_incoming_messages=incoming_count_max,
            socket_options=_SOCKET_OPTIONS,
            tls_context=context,
        )
        self.context = context
        self._client.connect_timeout = CONNECT_S_MAX
        self._answers: dict[int, asyncio.Future[int]] = {}
        self._asked_s: dict[int, float] = {}
        self._heard_s = float("-inf")
        self.pending_calls_threshold = 1000
        self.refused_with: ReasonCode | None = None
        self.ended_with: ReasonCode | None = None
        self.packet_bytes_max = _PACKET_BYTES_MAX
        self.receive_max = 65_535
        self.was_opened = False
        self.is_abandoned = False

    @property
    def is_misunderstood(self) -> bool:
        """Whether who took the connection ended it with no word of MQTT."""
        reason = self.ended_with
        is_wordless = reason is not None and reason.value in _NO_MQTT
        return self.was_opened and self.refused_with is None and is_wordless

    @property
    def nonsense(self) -> BaseException | None:
        """What the parser said of bytes that it could not read; a bad socket is none of that."""
        if not self._disconnected.done() or self._disconnected.cancelled():
            return None
        error = self._disconnected.exception()
        return None if isinstance(error, (aiomqtt.MqttError, OSError)) else error

    @property
    def inbox(self) -> _Newest:
        assert isinstance(self._queue, _Newest), "made with queue_type"
        return self._queue

    async def send(
        self, topic: str, payload: bytes, qos: int, retain: bool, properties: Properties
    ) -> int:
        """Publish and wait: for the PUBACK's reason code, or with QoS 0 until it is written."""
        info = self._client.publish(topic, payload, qos, retain, properties)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise aiomqtt.MqttCodeError(info.rc, "Could not publish")
        if qos == 0 and info.is_published():
            return 0
        # No callback can run before this line: all of paho's reading is done by this event loop.
        answer: asyncio.Future[int] = self._loop.create_future()
        self._answers[info.mid] = answer
        self._asked_s[info.mid] = self._loop.time()
        try:
            code = await self._answered(answer)
        finally:
            self._answers.pop(info.mid, None)
            self._asked_s.pop(info.mid, None)
        if qos > 0:
            self._heard_s = self._loop.time()
        return code

    async def ask(
        self, topics: list[tuple[str, SubscribeOptions]]
    ) -> tuple[int, ...] | list[ReasonCode]:
        """Subscribe and wait for the SUBACK's reason codes; aiomqtt waits for a lost one, too."""
        result, mid = self._client.subscribe(topics)
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise aiomqtt.MqttCodeError(result, "Could not subscribe")
        answer: asyncio.Future[tuple[int, ...] | list[ReasonCode]] = self._loop.create_future()
        self._pending_subscribes[mid] = answer
        try:
            codes = await self._answered(answer)
        finally:
            self._pending_subscribes.pop(mid, None)
        self._heard_s = self._loop.time()
        return codes

    async def _answered(self, answer: "asyncio.Future[_Answer]") -> _Answer:
        """What the broker answers; MqttError when it does not, or is gone.

        On a slow line answers come one after the other: what counts is that there are any.
        """
        asked_s = self._loop.time()
        while not answer.done() and not self._disconnected.done():
            until_s = max(asked_s, self._heard_s) + self.timeout
            left_s = min(until_s, asked_s + ANSWER_S_MAX) - self._loop.time()
            if left_s <= 0:
                break
            await asyncio.wait(
                (answer, self._disconnected),
                timeout=left_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
        if not answer.done():
            raise aiomqtt.MqttError("The broker did not answer")
        return answer.result()

    def unanswered_s(self) -> float:
        """How long the oldest open publish has waited."""
        now_s = self._loop.time()
        return now_s - min(self._asked_s.values(), default=now_s)

    async def leave(self, *, with_will: bool) -> None:
        """Send DISCONNECT; give up quietly if the broker does not take it."""
        reason = ReasonCode(PacketTypes.DISCONNECT, identifier=0x04) if with_will else None
        if self._client.disconnect(reason) == MQTTErrorCode.MQTT_ERR_SUCCESS:
            await asyncio.wait((self._disconnected,), timeout=1)

    def hang_up(self) -> None:
        """End both directions of the socket, if there is one."""
        sock = self._client.socket()
        if sock is None and self.context is not None:
            sock = self.context.sock  # in its handshake
        if isinstance(sock, socket.socket):
            with suppress(OSError):  # the peer may have been faster
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def abort(self) -> None:
        """Close the socket now, without DISCONNECT, and let paho tidy up after it."""
        self.hang_up()
        if self._client.socket() is not None:
            # Reading its end would parse what came before that, which may be what ended it.
            self._client._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        # Nobody waits for these any more; unread exceptions would be logged.
        for future in (self._disconnected, self._connected):
            if future.done() and not future.cancelled():
                future.exception()

    def _on_socket_open(self, client: PahoClient, userdata: Any, sock: Any) -> None:
        if self.is_abandoned:
            raise ConnectionAbortedError("nobody wants this connection any more")
        self.was_opened = True
        super()._on_socket_open(client, userdata, sock)

    def _on_socket_register_write(self, client: PahoClient, userdata: Any, sock: Any) -> None:
        def register() -> None:
            # Called a turn later: by then the socket may be closed, and its number another's.
            if sock.fileno() >= 0:
                self._loop.add_writer(sock.fileno(), client.loop_write)

        self._loop.call_soon_threadsafe(register)

    def _on_connect(
        self,
        client: PahoClient,
        userdata: Any,
        flags: ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if reason_code.is_failure:
            self.refused_with = reason_code
        if properties is not None:
            self.packet_bytes_max = getattr(properties, "MaximumPacketSize", _PACKET_BYTES_MAX)
            self.receive_max = getattr(properties, "ReceiveMaximum", 65_535)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self,
        client: PahoClient,
        userdata: Any,
        flags: DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if self.ended_with is None:
            self.ended_with = reason_code
        if not self._connected.done():
            # Closed before CONNACK: aiomqtt would sit out its timeout.
            self._connected.set_exception(aiomqtt.MqttError(str(reason_code)))
        elif not self._disconnected.done() and not reason_code.is_failure:
            # An orderly DISCONNECT by the broker is an end as any other.
            self._disconnected.set_result(None)
        else:
            super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_publish(
        self,
        client: PahoClient,
        userdata: Any,
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,
    ) -> None:
        answer = self._answers.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(reason_code.value)
