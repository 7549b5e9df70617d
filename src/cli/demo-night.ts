// `npm run demo -- night`: a till is switched off all night, and its owner loses nothing. What the owner sees is shown at each step.
import { pause } from '../lifecycle/pause.ts';
import { mintToken } from '../security/tokens.ts';
import { caller, type Call, until } from './demo-calls.ts';
import { startDemoService } from './demo-service.ts';
import { startTill, type Till } from './demo-till.ts';

/** Orders before the night, those that come until the service has seen enough, and those that come while it holds them. */
const EVENING = 3;
const MAX_FIRST_HOURS = 60;
const NIGHT = 300;
/** ms. Between orders while the service makes up its mind. */
const ORDER_INTERVAL_MS = 150;
/** Deliveries a second, where neither the webhook nor a call names a rate. */
const RATE = 50;

/** In seconds; what takes days and half hours otherwise. */
const nightSettings = {
  WEBHOOK_DISABLE_AFTER: '3',
  WEBHOOK_DISABLE_AFTER_FAILURES: '5',
  WEBHOOK_PROBE_INTERVAL: '4',
} as const;

interface Webhook {
  readonly id: string;
  readonly paused: boolean;
  readonly release_id: string;
  readonly health: Readonly<Record<string, unknown>>;
}
interface Explanation {
  readonly verdict: string;
  readonly summary: string;
  readonly rules: readonly { readonly code: string; readonly result: string; readonly message: string }[];
}
interface History {
  readonly changes: readonly { readonly by: string; readonly action: string; readonly reason: string }[];
}
interface Page {
  readonly total: number;
  readonly deliveries: readonly { readonly id: string }[];
}

export async function playNight(): Promise<boolean> {
  console.log(`A night, fast-forwarded: it is the service that you would run, with a database of its own and three settings that make its days
short. A webhook counts as failing for too long after ${nightSettings.WEBHOOK_DISABLE_AFTER} s instead of three days (WEBHOOK_DISABLE_AFTER) and ${nightSettings.WEBHOOK_DISABLE_AFTER_FAILURES} failures instead of
20 (WEBHOOK_DISABLE_AFTER_FAILURES), and is asked every ${nightSettings.WEBHOOK_PROBE_INTERVAL} s instead of every half hour whether it is back (WEBHOOK_PROBE_INTERVAL).\n`);
  const service = await startDemoService(nightSettings);
  const till = await startTill();
  try {
    const { tokens } = service.config;
    const owner = caller(service.http, await mintToken(tokens, { user: 'owner', role: 'developer' }));
    const orders = caller(service.http, await mintToken(tokens, { user: 'order-service', role: 'service' }));
    return await new Night(owner, orders, till).play();
  } finally {
    await till.close();
    await service.stop();
  }
}

class Night {
  readonly #owner: Call;
  readonly #orders: Call;
  readonly #till: Till;
  readonly #startedAtMs = performance.now();
  #published = 0;
  #webhookId = '';

  constructor(owner: Call, orders: Call, till: Till) {
    this.#owner = owner;
    this.#orders = orders;
    this.#till = till;
  }

  async play(): Promise<boolean> {
    const { id } = await this.#owner<Webhook>('POST', '/api/v1/webhooks', {
      url: this.#till.url,
      events: ['order.created'],
      on_failing: 'hold',
      retry_policy: { max_retries: 8, retry_delay: 1 },
    });
    this.#webhookId = id;
    await this.#publish(EVENING);
    await until('the evening’s orders', () => this.#till.taken.length === EVENING);
    this.#say(`Evening. ${EVENING} orders, and the till took them. Its webhook says "on_failing": "hold".`);

    this.#till.isOn = false;
    this.#say('The till is switched off. It answers 503 from now on, and orders come all the same.');
    await this.#failUntilHeld();
    await this.#publish(NIGHT);
    const heldFor = `health.held ${String((await this.#webhook()).health['held'])}`;
    this.#say(`Night. ${NIGHT} more orders came, and none of them was sent: ${heldFor}.`);
    const newest = await this.#owner<Page>('GET', `/api/v1/webhooks/deliveries?webhook_id=${id}&limit=1`);
    await this.#showExplanation('The owner asks why the newest order has not come', newest.deliveries[0]?.id ?? '');

    this.#till.isOn = true;
    this.#say('Morning. The till is switched on. Its owner does nothing.');
    await until('the probe', async () => !(await this.#webhook()).paused);
    this.#say(`A probe was taken, so the service resumed the webhook by itself, at ${RATE} a second:`);
    await this.#showHistory();
    const seconds = await this.#follow();
    return this.#verdict(seconds);
  }

  /** Orders come until the service has seen enough of a till that takes none. */
  async #failUntilHeld(): Promise<void> {
    for (let number = 0; number < MAX_FIRST_HOURS; number += 1) {
      await this.#publish(1);
      if ((await this.#webhook()).paused) break;
      await pause(ORDER_INTERVAL_MS);
    }
    await until('the hold', async () => (await this.#webhook()).paused);
    this.#say(
      `The service has seen enough after ${this.#till.refused} refused requests: it pauses the webhook, and keeps what it would send.`,
    );
    await this.#showHealth();
    await this.#showHistory();
  }

  /** How far the release is, to the last order. Returns how long it took, in seconds. */
  async #follow(): Promise<number> {
    const startedAtMs = performance.now();
    let shownAtMs = Number.NEGATIVE_INFINITY;
    await until('the last order', async () => {
      if (performance.now() - shownAtMs >= 2000) {
        shownAtMs = performance.now();
        const { health, release_id: releaseId } = await this.#webhook();
        this.#say(
          `    ${this.#till.taken.length} of ${this.#published} taken, ${String(health['held'])} held${releaseId === '' ? '' : `, ${releaseId}`}`,
        );
      }
      return new Set(this.#till.taken).size === this.#published;
    });
    const seconds = (performance.now() - startedAtMs) / 1000;
    await until('the end of the release', async () => (await this.#webhook()).release_id === '');
    return seconds;
  }

  async #verdict(seconds: number): Promise<boolean> {
    const { total: delivered } = await this.#owner<Page>(
      'GET',
      `/api/v1/webhooks/deliveries?webhook_id=${this.#webhookId}&status=delivered`,
    );
    const twice = this.#till.taken.length - new Set(this.#till.taken).size;
    this.#say('The owner looks once more:');
    await this.#showHealth();
    const [first] = this.#till.taken.slice(EVENING);
    await this.#showExplanation('and at the first order of the night', first ?? '');
    console.log(
      `\n${this.#published} orders, ${delivered} delivered, ${this.#published - delivered} lost, ${twice} sent twice; ${this.#till.refused} requests were refused in the night.` +
        `\nWhat was held came within ${seconds.toFixed(1)} s: slowly for ten seconds, then ${RATE} a second.`,
    );
    return delivered === this.#published && twice === 0;
  }

  async #publish(count: number): Promise<void> {
    for (let number = 0; number < count; number += 1) {
      this.#published += 1;
      const order = { order_id: `order_${this.#published}`, dishes: ['Lamb biryani'], total_amount: 32.5 };
      await this.#orders('POST', '/api/v1/events', {
        event_type: 'order.created',
        data: order,
        audience: { user_ids: ['owner'] },
      });
    }
  }

  #webhook(): Promise<Webhook> {
    return this.#owner<Webhook>('GET', `/api/v1/webhooks/${this.#webhookId}`);
  }

  async #showHealth(): Promise<void> {
    const { paused, health } = await this.#webhook();
    const parts = ['consecutive_failures', 'paused_reason', 'held', 'next_probe_at'].filter(
      (name) => health[name] !== undefined && health[name] !== '' && health[name] !== null,
    );
    show('health', `paused ${paused}, ${parts.map((name) => `${name} ${String(health[name])}`).join(', ')}`);
  }

  async #showHistory(): Promise<void> {
    const { changes } = await this.#owner<History>('GET', `/api/v1/webhooks/${this.#webhookId}/history`);
    for (const { by, action, reason } of changes.toReversed())
      show('history', `${action} by ${by}${reason === '' ? '' : `: ${reason}`}`);
  }

  async #showExplanation(question: string, deliveryId: string): Promise<void> {
    this.#say(`${question}:`);
    const path = `/api/v1/webhooks/${this.#webhookId}/explain?delivery_id=${deliveryId}`;
    const { verdict, summary, rules } = await this.#owner<Explanation>('GET', path);
    show('explain', `${verdict}: ${summary}`);
    for (const { code, message } of rules.filter(({ result }) => result === 'stopped_here')) show('', `${code}: ${message}`);
  }

  #say(line: string): void {
    console.log(`${((performance.now() - this.#startedAtMs) / 1000).toFixed(1).padStart(5)} s  ${line}`);
  }
}

function show(what: string, line: string): void {
  console.log(`           ${what.padEnd(8)} ${line}`);
}
