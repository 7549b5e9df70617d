// What the service functions need of the world; app/create-app.ts builds it once.
import type { Config } from '../config.ts';
import type { FairQueue } from '../persistence/fair-queue.ts';
import type { Orm } from '../persistence/orm.ts';
import type { Reports } from '../persistence/reports.ts';
import type { Pool } from 'pg';
import type { EventFeed } from '../realtime/event-feed.ts';
import type { StatusFeed } from '../realtime/status-feed.ts';
import type { StatusUpdate } from '../realtime/status-update.ts';
import type { SecretBox } from '../security/secret-box.ts';
import type { Scheduler } from '../schedule/scheduler.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Diagnoser } from './diagnoser.ts';
import type { EventCatalogue } from './event-catalogue.ts';
import type { PublishContext } from './publish-event.ts';
import type { Publisher } from './publisher.ts';
import type { TestSender } from './test-sender.ts';

export interface ServiceContext extends ManagementContext {
  readonly config: Config;
  readonly scheduler: Scheduler;
  readonly publisher: Publisher;
  readonly findAudience: PublishContext['findAudience'];
  /** Milliseconds since 1970 by the database's clock. */
  readonly now: () => number;
  /** What WatchDeliveries and WebSockets send. */
  readonly feed: StatusFeed;
  /** What WatchEvents sends. */
  readonly eventFeed: EventFeed;
}

/** What all calls but publishing need. */
export interface ManagementContext {
  readonly config: Pick<Config, 'delivery' | 'maxPayloadBytes' | 'maxWebhooksPerUser' | 'statsDays'>;
  readonly orm: Orm;
  /** For hand-written statements whose cost does not grow with the log. */
  readonly pool: Pool;
  /** For those whose cost does. */
  readonly reports: Reports;
  /** A call that locks rows waits for its turn here before it takes a connection. */
  readonly changes: FairQueue;
  readonly catalogue: EventCatalogue;
  readonly secretBox: SecretBox;
  readonly scheduler: Pick<Scheduler, 'enqueue'>;
  readonly testSender: TestSender;
  readonly diagnoser: Diagnoser;
  /** The one check of webhook URLs: answers the URL as it is stored, or throws a ServiceError. */
  readonly checkUrl: (url: string) => string;
  /** To be called after a committed change that attempts must see. */
  readonly onWebhookChanged: (webhookId: string) => void;
  /** To be called after a commit that closed a webhook: ends what waits for it. Resolves after a part of a large backlog; never rejects. */
  readonly endWaiting: (webhookId: string) => Promise<void>;
  /** To be called after a commit in which a caller cancelled a delivery. */
  readonly onCancelledByCaller: () => void;
  /** Sends committed changes of deliveries to watchers. */
  readonly publishUpdates: (updates: readonly StatusUpdate[]) => void;
  readonly log: Logger;
}
