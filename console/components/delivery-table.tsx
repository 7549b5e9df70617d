// Deliveries in rows, the same on every page that lists them; a whole row leads to its delivery.
import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { type Delivery, DeliveryStatus } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { nowMs } from '../clock.ts';
import { seesEverybody } from '../api/session.ts';
import { directory, lookUpWebhooks } from '../api/webhook-directory.ts';
import { causeOf } from '../format/cause.ts';
import { lookOf, lookOfDelivery } from '../format/status.ts';
import { span, toDate } from '../format/time.ts';
import { Moment } from './moment.tsx';
import { StatusGlyph, StatusMark } from './status-mark.tsx';
import { WebhookLink } from './webhook-name.tsx';

export interface DeliveryRow {
  readonly delivery: Delivery;
  /** The statuses it was seen in, oldest first, where they were watched. */
  readonly trail?: readonly DeliveryStatus[];
  /** When it is of interest, instead of when it was made. */
  readonly at?: Date;
}

/** Rows that a reader has marked, to do something to all of them. */
export interface Selection {
  readonly ids: ReadonlySet<string>;
  readonly change: (ids: ReadonlySet<string>) => void;
}

interface DeliveryTableProps {
  readonly caption: string;
  readonly rows: readonly DeliveryRow[];
  readonly showWebhook?: boolean;
  readonly selection?: Selection;
}

export function DeliveryTable({ caption, rows, showWebhook = true, selection }: DeliveryTableProps) {
  const showOwner = showWebhook && seesEverybody();
  useEffect(() => {
    if (showWebhook) void lookUpWebhooks(new Set(rows.map(({ delivery }) => delivery.webhookId)));
  }, [rows]);
  const seconds = rows.map((row) => secondOf(row));
  const drawn = useRef<ReadonlyMap<DeliveryRow, Drawn>>(new Map());
  const marks = useRef<((id: string, mark: boolean) => void) | null>(null);
  const drawing = new Map<DeliveryRow, Drawn>();
  const elements = rows.map((row, index) => {
    const isPrecise = seconds[index] === seconds[index - 1] || seconds[index] === seconds[index + 1];
    const isMarked = selection?.ids.has(row.delivery.id);
    const before = drawn.current.get(row);
    // The same element again costs nothing: a live table of 200 rows changes in a few of them.
    const element =
      before !== undefined && before.isPrecise === isPrecise && before.isMarked === isMarked ? (
        before.element
      ) : (
        <Row
          key={row.delivery.id}
          row={row}
          showWebhook={showWebhook}
          showOwner={showOwner}
          isPrecise={isPrecise}
          isMarked={isMarked}
          onMark={(mark) => marks.current?.(row.delivery.id, mark)}
        />
      );
    drawing.set(row, { element, isPrecise, isMarked });
    return element;
  });
  drawn.current = drawing;
  // An element that is kept calls what is current when it is clicked.
  marks.current = (id, mark) => selection?.change(withMark(selection.ids, id, mark));
  return (
    <table class="rows">
      <caption class="visually-hidden">{caption}</caption>
      <thead>
        <tr>
          {selection !== undefined && (
            <th scope="col" class="cell-mark">
              <input
                type="checkbox"
                aria-label="Select all on this page"
                checked={rows.every(({ delivery }) => selection.ids.has(delivery.id))}
                onChange={(event) =>
                  selection.change(new Set(event.currentTarget.checked ? rows.map(({ delivery }) => delivery.id) : []))
                }
              />
            </th>
          )}
          <th scope="col">Status</th>
          <th scope="col">Event</th>
          {showWebhook && <th scope="col">Webhook</th>}
          {showOwner && <th scope="col">Owner</th>}
          <th scope="col">Last answer</th>
          <th scope="col" class="number">
            Attempts
          </th>
          <th scope="col" class="number">
            When
          </th>
        </tr>
      </thead>
      <tbody>{elements}</tbody>
    </table>
  );
}

interface Drawn {
  readonly element: VNode;
  readonly isPrecise: boolean;
  readonly isMarked: boolean | undefined;
}

interface RowProps {
  readonly row: DeliveryRow;
  readonly showWebhook: boolean;
  readonly showOwner: boolean;
  /** Whether a row beside it falls into the same second. */
  readonly isPrecise: boolean;
  /** Undefined: rows are not marked here. */
  readonly isMarked: boolean | undefined;
  readonly onMark: (mark: boolean) => void;
}

function Row({ row: { delivery, trail, at }, showWebhook, showOwner, isPrecise, isMarked, onMark }: RowProps) {
  const webhook = directory.value.byId.get(delivery.webhookId);
  return (
    <tr class={trail === undefined ? undefined : 'arrived'} data-delivery={delivery.id}>
      {isMarked !== undefined && (
        <td class="cell-mark">
          <input
            type="checkbox"
            aria-label={`Select ${delivery.eventType} ${delivery.id}`}
            checked={isMarked}
            onChange={(event) => onMark(event.currentTarget.checked)}
          />
        </td>
      )}
      <td class="cell-status">
        {trail !== undefined && <Trail statuses={trail} />}
        <StatusMark look={lookOfDelivery(delivery)} />
      </td>
      <td class="cell-event">
        <a class="row-link" href={`/deliveries/${delivery.id}`}>
          {delivery.eventType}
        </a>
      </td>
      {showWebhook && (
        <td class="cell-webhook">
          <WebhookLink id={delivery.webhookId} webhook={webhook} />
        </td>
      )}
      {showOwner && <td class="cell-user">{webhook?.userId}</td>}
      <td class="cell-answer">
        <LastAnswer delivery={delivery} />
      </td>
      <td class="cell-attempts number">{delivery.attemptCount}</td>
      <td class="cell-when number">
        <Moment at={at ?? delivery.createdAt} precise={isPrecise} />
      </td>
    </tr>
  );
}

function withMark(ids: ReadonlySet<string>, id: string, mark: boolean): ReadonlySet<string> {
  const marked = new Set(ids);
  if (mark) marked.add(id);
  else marked.delete(id);
  return marked;
}

function secondOf({ delivery, at }: DeliveryRow): number {
  return Math.floor(((at ?? toDate(delivery.createdAt))?.getTime() ?? 0) / 1000);
}

/** What it went through before its present status. */
function Trail({ statuses }: { statuses: readonly DeliveryStatus[] }) {
  const earlier = statuses.slice(0, -1);
  if (earlier.length === 0) return null;
  return (
    <span class="trail" title={statuses.map((status) => lookOf(status).label).join(' → ')}>
      {earlier.map((status, index) => (
        <StatusGlyph key={index} look={lookOf(status)} />
      ))}
    </span>
  );
}

function LastAnswer({ delivery }: { delivery: Delivery }): ComponentChildren {
  const retryAt = delivery.status === DeliveryStatus.RETRYING ? toDate(delivery.nextRetryAt) : undefined;
  const answer = delivery.errorCode === undefined ? httpAnswer(delivery.httpStatus) : causeOf(delivery).label;
  return (
    <>
      {answer}
      {retryAt !== undefined && (
        <span class="next-retry">
          {' '}
          · {retryAt.getTime() > nowMs.value + 999 ? `again in ${span(retryAt.getTime() - nowMs.value)}` : 'again now'}
        </span>
      )}
    </>
  );
}

function httpAnswer(status: number | undefined): ComponentChildren {
  return status === undefined ? <span class="absent">–</span> : `${status}`;
}
