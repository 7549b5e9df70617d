// Opening a connection to a receiver: every address is checked before it is dialled, and again once connected.
import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls, type SecureContext } from 'node:tls';
import type { EgressPolicy } from '../security/egress-policy.ts';
import { handshakeErrorOf } from './connection-errors.ts';
import type { NameResolver } from './name-resolver.ts';
import { race, type RacingPlaces } from './race.ts';
import { failureOf, shortageOf, type Failure } from './shortage.ts';

/** For resolving, connecting and the TLS handshake together; the deadline of the attempt may end it earlier. */
export const CONNECT_TIMEOUT_MS = 5000;

export interface Dialled {
  readonly secure: boolean;
  /** A name, or an address without brackets. */
  readonly host: string;
  readonly port: number;
}

export interface DialTools {
  readonly policy: EgressPolicy;
  readonly resolver: Pick<NameResolver, 'resolve'>;
  /** Shared by all dials: a context of its own would load the root certificates again for each. */
  readonly secureContext: SecureContext;
  /** For the addresses of a name beside the first. */
  readonly racingPlaces: RacingPlaces;
  /**
   * Gets what arrives once the connection stands; the bytes are overwritten afterwards. Returns whether to go on reading.
   */
  readonly onBytes: (bytes: Buffer) => boolean;
  /** Called with each address before it is dialled. */
  readonly onDial?: (address: string) => void;
  /** Called when the connection stands and, where there is TLS, its handshake begins. */
  readonly onConnected?: () => void;
}

/** What one read takes at most. One buffer for all connections: what it holds is dealt with before the next one reads. */
const READ_BYTES = 65_536;
const readBuffer = Buffer.allocUnsafeSlow(READ_BYTES);

export type DialDone = (failure: Failure | null, socket: Socket | null) => void;

/**
 * Calls back once, with a connected socket or with what went wrong. Returns the function that gives up: it closes what is open, and
 * nothing is called back any more.
 */
export function dial(to: Dialled, tools: DialTools, done: DialDone): () => void {
  let endRace = ignore;
  let opened: Socket | null = null;
  let settled = false;
  const timer = setTimeout(finish, CONNECT_TIMEOUT_MS, 'timeout');

  function finish(failure: Failure | null, socket: Socket | null = null): void {
    if (settled) return;
    giveUp(failure !== null);
    done(failure, socket);
  }

  function giveUp(close: boolean): void {
    settled = true;
    clearTimeout(timer);
    endRace();
    if (close) opened?.destroy();
  }

  function open(addresses: readonly string[]): void {
    if (settled) return;
    // One forbidden address condemns the name: that is how rebinding looks.
    if (!addresses.every((address) => tools.policy.allowsAddress(address))) return finish('ssrf_blocked');
    endRace = race({
      addresses,
      open: begin,
      places: tools.racingPlaces,
      isLocal: (error) => shortageOf(error) !== null,
      done(error, socket) {
        if (socket === null) return finish(failureOf(error));
        opened = socket;
        if (!tools.policy.allowsAddress(socket.remoteAddress ?? '')) return finish('ssrf_blocked');
        tools.onConnected?.();
        if (to.secure) shakeHands(socket);
        else finish(null, socket);
      },
    });
  }

  function begin(address: string): Socket {
    tools.onDial?.(address);
    return connect({
      host: address,
      port: to.port,
      noDelay: true,
      // A stream of its own buffers costs 3 of 25 µs a request; a TLS socket reads from this one by itself.
      ...(to.secure
        ? {}
        : { onread: { buffer: readBuffer, callback: (length) => tools.onBytes(readBuffer.subarray(0, length)) } }),
    });
  }

  function shakeHands(socket: Socket): void {
    const secured = connectTls({
      socket,
      secureContext: tools.secureContext,
      host: to.host,
      // An address is no server name (RFC 6066, 3); the certificate is then matched against the address.
      servername: isIP(to.host) === 0 ? to.host : '',
      ALPNProtocols: ['http/1.1'],
      rejectUnauthorized: true,
    });
    opened = secured;
    socket.once('error', (error) => finish(failureOf(error)));
    secured.once('error', (error) => finish(failureOf(error, handshakeErrorOf)));
    secured.once('secureConnect', () => finish(null, secured));
    secured.on('data', tools.onBytes);
    // Errors come as long as the socket lives; after the first they say nothing new.
    secured.on('error', ignore);
  }

  if (isIP(to.host) !== 0) open([to.host]);
  else tools.resolver.resolve(to.host).then(open, (error: unknown) => finish(failureOf(error, () => 'dns_error')));
  return () => giveUp(true);
}

function ignore(): void {}
