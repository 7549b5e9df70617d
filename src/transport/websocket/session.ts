// One WebSocket: updates go out as fast as the other side reads; messages that come in change the subscription.
import type { WebSocket } from 'ws';
import type { OwnerNotice } from '../../realtime/status-bus.ts';
import type { Watcher } from '../../realtime/watcher.ts';
import type { Principal } from '../../security/tokens.ts';
import type { ServiceContext } from '../../service/context.ts';
import { watchDeliveries } from '../../service/watch-deliveries.ts';
import { toServiceError } from '../call/errors.ts';
import type { CountCall } from '../call/interceptors/limit-rate.ts';
import { watchInput } from '../rpc/watch-input.ts';
import { errorText, feedText, noticeText, readClientMessage } from './messages.ts';

/** The close codes; README.md documents the same list. */
export const closeCodes = {
  goingAway: 1001,
  unsupportedData: 1003,
  policyViolation: 1008,
  internalError: 1011,
  tryAgainLater: 1013,
  notAuthenticated: 4401,
} as const;

/** Bytes handed to a socket and not yet to the kernel. Beyond it the watcher's own queue fills, and then drops. */
const MAX_BUFFERED_BYTES = 128 * 1024;
/** A socket that takes nothing for so long is given up: its watcher can resume by cursor. */
const STUCK_MS = 20_000;
/** Messages that a client may send in a window: subscriptions change by hand, pings come every few seconds. */
const MAX_CLIENT_MESSAGES = 40;
const CLIENT_WINDOW_MS = 10_000;
/** setTimeout's longest delay. */
const MAX_TIMER_MS = 2_147_483_647;

export interface SessionOptions {
  readonly socket: WebSocket;
  readonly principal: Principal;
  readonly context: Pick<ServiceContext, 'feed'>;
  readonly watcher: Watcher;
  /** Of the request that became this WebSocket. */
  readonly requestId: string;
  readonly countCall: CountCall;
  readonly onInternalError: (error: unknown) => void;
}

export class WebSocketSession {
  readonly principal: Principal;
  readonly #socket: WebSocket;
  readonly #options: SessionOptions;
  readonly #expiry: NodeJS.Timeout;
  #watcher: Watcher;
  #isAlive = true;
  #windowStartedAt = 0;
  #windowMessages = 0;
  #changing: Promise<void> = Promise.resolve();

  constructor(options: SessionOptions) {
    const { socket, principal, watcher } = options;
    this.principal = principal;
    this.#options = options;
    this.#socket = socket;
    this.#watcher = watcher;
    const lifetimeMs = Math.min(Math.max(0, principal.expiresAtMs - Date.now()), MAX_TIMER_MS);
    this.#expiry = setTimeout(() => this.close(closeCodes.notAuthenticated, 'the token has expired'), lifetimeMs);
    socket.on('pong', () => (this.#isAlive = true));
    socket.on('message', (data: Buffer, isBinary) => this.#receive(data, isBinary));
    socket.on('close', () => this.#end());
    void this.#pump(watcher);
  }

  /** Bytes that wait for the other side to read. */
  get bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  close(code: number, reason: string): void {
    this.#watcher.close();
    this.#socket.close(code, reason);
  }

  terminate(): void {
    this.#socket.terminate();
  }

  /** Asks for a sign of life, and gives the socket up if it did not answer the last time. */
  ping(): void {
    if (!this.#isAlive) return this.terminate();
    this.#isAlive = false;
    this.#socket.ping();
  }

  /** Passes a notice on if it concerns what this session watches. */
  notify(notice: OwnerNotice): void {
    const { userId } = this.#watcher.filter;
    if ((userId !== null && userId !== notice.userId) || this.bufferedBytes > MAX_BUFFERED_BYTES) return;
    this.#socket.send(noticeText(notice));
  }

  #end(): void {
    clearTimeout(this.#expiry);
    this.#watcher.close();
  }

  async #pump(watcher: Watcher): Promise<void> {
    try {
      for (let message = await watcher.next(); message !== null; message = await watcher.next()) {
        await this.#send(feedText(message));
      }
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  /** Resolves when more may be sent: at once, or when a socket that is behind has taken what it was given. */
  #send(text: Buffer | string): Promise<void> | undefined {
    if (this.bufferedBytes <= MAX_BUFFERED_BYTES) {
      this.#socket.send(text, { binary: false });
      return undefined;
    }
    return new Promise((resolve) => {
      const stuck = setTimeout(() => this.close(closeCodes.tryAgainLater, 'reading too slowly; resume by cursor'), STUCK_MS);
      // Also called when the socket closes.
      this.#socket.send(text, { binary: false }, () => {
        clearTimeout(stuck);
        resolve();
      });
    });
  }

  #fail(thrown: unknown): void {
    const error = toServiceError(thrown);
    if (error.reason === 'shutting_down') return this.close(closeCodes.goingAway, 'this process is stopping');
    if (error.code === 'internal') this.#options.onInternalError(thrown);
    this.#socket.send(errorText(error, this.#options.requestId));
    const code = error.code === 'internal' ? closeCodes.internalError : closeCodes.tryAgainLater;
    this.close(code, error.reason);
  }

  #receive(data: Buffer, isBinary: boolean): void {
    if (isBinary) return this.close(closeCodes.unsupportedData, 'messages are JSON text');
    if (!this.#mayReceive()) return this.close(closeCodes.policyViolation, 'too many messages');
    try {
      const message = readClientMessage(data);
      if (message.type === 'ping') this.#socket.send('{"type":"pong"}');
      else this.#changing = this.#changing.then(() => this.#subscribe(message.request));
    } catch (thrown) {
      this.#socket.send(errorText(toServiceError(thrown), this.#options.requestId));
    }
  }

  /**
   * Replaces the subscription. One that cannot be had leaves the connection open and silent, with an error that says why; one too many
   * leaves the subscription that there is.
   */
  async #subscribe(request: Parameters<typeof watchInput>[0]): Promise<void> {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    try {
      if (this.principal.role === 'developer') await this.#options.countCall(this.principal.userId);
      this.#watcher.close();
      this.#watcher = await watchDeliveries(this.#options.context, this.principal, watchInput(request));
    } catch (thrown) {
      this.#socket.send(errorText(toServiceError(thrown), this.#options.requestId));
      return;
    }
    if (this.#socket.readyState !== this.#socket.OPEN) return this.#watcher.close();
    this.#socket.send('{"type":"subscribed"}');
    void this.#pump(this.#watcher);
  }

  #mayReceive(): boolean {
    const now = performance.now();
    if (now - this.#windowStartedAt > CLIENT_WINDOW_MS) {
      this.#windowStartedAt = now;
      this.#windowMessages = 0;
    }
    this.#windowMessages += 1;
    return this.#windowMessages <= MAX_CLIENT_MESSAGES;
  }
}
