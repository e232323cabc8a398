"""The edge to a cluster of NATS servers, which speak MQTT 3.1.1 to the devices: --broker nats://a:4222,b:4222,c:4222.

What a device publishes on ROOT/DEVICE/up is the subject ROOT.DEVICE.up. A stream keeps it on three servers, and every
relay pulls from the one durable consumer of it. After the commit that stores a message it is acknowledged, and so
leaves the stream; what a killed relay had in hand is handed to another. A device's messages stay in order because
it sends the next when the relay has acknowledged the last.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StorageType, StreamConfig

from tools.relay import logs
from tools.relay.intake.edge import KINDS, Arrival, arrival
from tools.relay.settings import Settings

log = logs.logger(__name__)
DURABLE = "relays"
REPLICAS = 3
BATCH = 200
IN_HAND = 1000  # of one relay, received and not yet stored
ACK_WAIT_S = 10.0  # a commit takes milliseconds; after a kill the messages in hand wait for so long
KEPT_S = 2 * 86400  # without any relay; devices keep what is not acknowledged for longer
FETCH_S = 1.0
RECONNECT_S = 1


class JetStreamEdge:
    """An edge (see edge.py) on JetStream. Raises ValueError for a bad address."""

    def __init__(self, settings: Settings, on_arrival: Callable[[Arrival], None]) -> None:
        self.root = settings.topic_root
        self.connected = False
        hosts = settings.broker.removeprefix("nats://").split(",")
        if not all(host.rpartition(":")[0] and host.rpartition(":")[2].isdigit() for host in hosts):
            raise ValueError(f"broker {settings.broker!r} is not nats://HOST:PORT,HOST:PORT,...")
        self._servers = [f"nats://{host}" for host in hosts]
        self._replicas = min(REPLICAS, len(hosts))
        self._settings = settings
        self._on_arrival = on_arrival
        self._client = Client()
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._room = asyncio.Semaphore(IN_HAND)
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),), name="relay-nats")

    def start(self) -> None:
        """Connect in the background."""
        self._thread.daemon = True
        self._thread.start()

    def stop(self) -> None:
        """Disconnect; returns when nothing more arrives."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def send(self, device: str, payload: bytes) -> None:
        """Publish on the device's down topic."""
        self._soon(self._client.publish(f"{self.root}.{device}.down", payload))

    # ---- in the thread of the connection

    async def _run(self) -> None:
        options: dict[str, Any] = {"user": self._settings.broker_user, "password": self._settings.broker_password}
        if self._settings.broker_ca is not None:
            import ssl

            options["tls"] = ssl.create_default_context(cafile=self._settings.broker_ca)
        pulling: asyncio.Task[None] | None = None
        try:
            while not self._stopping.is_set() and not self._client.is_connected:
                try:
                    await self._client.connect(
                        self._servers, reconnect_time_wait=RECONNECT_S, max_reconnect_attempts=-1,
                        connect_timeout=2, ping_interval=5, max_outstanding_pings=2,
                        disconnected_cb=self._on_lost, reconnected_cb=self._on_back, error_cb=self._on_error, **options,
                    )  # fmt: skip
                except (NatsError, OSError, asyncio.TimeoutError) as error:
                    log.warning("no NATS server, trying again", servers=self._servers, reason=str(error))
                    await self._pause()
            pulling = asyncio.create_task(self._pull())
            await self._stopping.wait()
        finally:
            if pulling is not None:
                pulling.cancel()
                await asyncio.gather(pulling, return_exceptions=True)
            if self._client.is_connected:
                await self._client.flush()
            await self._client.close()

    async def _pull(self) -> None:
        """Hand on what arrives, whichever servers are there."""
        subscription: JetStreamContext.PullSubscription | None = None
        while True:
            try:
                if subscription is None:
                    subscription = await self._subscribe()
                    self._connected()
                await self._fetch(subscription)
            except asyncio.TimeoutError:
                continue  # nothing has come; nats.errors.TimeoutError is one of these
            except NatsError as error:
                # No leader while the servers elect one, or a consumer that a new cluster does not have.
                log.warning("JetStream does not answer, asking again", reason=str(error) or type(error).__name__)
                subscription = None
                await self._pause()

    async def _subscribe(self) -> JetStreamContext.PullSubscription:
        stream, subjects = self.root.upper(), [f"{self.root}.*.{kind}" for kind in KINDS]
        streams = self._client.jetstream(timeout=5)
        await streams.add_stream(
            StreamConfig(
                name=stream, subjects=subjects, retention=RetentionPolicy.WORK_QUEUE, storage=StorageType.FILE,
                max_age=KEPT_S, num_replicas=self._replicas,
            )
        )  # fmt: skip
        consumer = ConsumerConfig(
            durable_name=DURABLE, ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_WAIT_S, max_ack_pending=20 * IN_HAND
        )
        await streams.add_consumer(stream, consumer)
        return await streams.pull_subscribe_bind(durable=DURABLE, stream=stream)

    async def _fetch(self, subscription: JetStreamContext.PullSubscription) -> None:
        await self._room.acquire()  # at least one place
        self._room.release()
        for message in await subscription.fetch(BATCH, timeout=FETCH_S):
            await self._room.acquire()
            topic = message.subject.replace(".", "/")
            self._on_arrival(arrival(self.root, topic, message.data, partial(self._done, message)))

    def _done(self, message: Msg) -> None:
        self._soon(message.ack())
        self._loop.call_soon_threadsafe(self._room.release)

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it in the connection's thread. What fails there is said again: by the stream, or by the device."""
        if self._loop.is_closed():
            work.close()
        else:
            asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), RECONNECT_S)
        except asyncio.TimeoutError:
            pass

    # ---- what is told

    def _connected(self) -> None:
        if not self.connected:
            log.info("connected to the broker", broker=self._settings.broker)
        self.connected = True

    async def _on_lost(self) -> None:
        if self.connected and not self._stopping.is_set():
            log.warning("lost the NATS server, connecting to another")
        self.connected = False

    async def _on_back(self) -> None:
        self._connected()

    async def _on_error(self, error: Exception) -> None:
        log.debug("the NATS client says", reason=str(error))
