// The webhooks in trouble, of all there are: worst first, or in the order that the reader chose.
import type { Overview, TroubledWebhook } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { seesEverybody } from '../../api/session.ts';
import { Moment } from '../../components/moment.tsx';
import { WebhookUrl } from '../../components/webhook-name.tsx';
import { WebhookState } from '../../components/webhook-state.tsx';
import { count, shortCount } from '../../format/number.ts';
import { query, withQuery } from '../../router.ts';
import { causeLabel, inOrder, type TroubleOrder, waitingSinceMs } from './trouble-order.ts';

/** What one answer may name. */
export const MAX_TROUBLED = 200;

interface Column {
  readonly order: TroubleOrder;
  readonly label: string;
  readonly isNumber?: true;
}

const RECEIVER: Column = { order: 'host', label: 'Receiver' };
const OWNER: Column = { order: 'owner', label: 'Owner' };
const CAUSE: Column = { order: 'cause', label: 'Cause' };
const WORST: Column = { order: 'worst', label: 'Given up', isNumber: true };
const WAITING: Column = { order: 'waiting', label: 'Waiting since', isNumber: true };

export function TroubledWebhooks({ overview }: { overview: Overview }) {
  const withOwner = seesEverybody();
  const columns = [RECEIVER, ...(withOwner ? [OWNER] : []), CAUSE, WORST, WAITING];
  const asked = query.value.get('sort');
  const { order } = columns.find((column) => column.order === asked) ?? WORST;
  const { worst } = overview;
  return (
    <section class="panel flush" aria-labelledby="overview-webhooks">
      <div class="panel-head">
        <h2 id="overview-webhooks">Webhooks in trouble</h2>
        {worst.length >= MAX_TROUBLED && <span class="hint">the {MAX_TROUBLED} worst</span>}
        <a href="/webhooks">All webhooks</a>
      </div>
      {worst.length === 0 ? (
        <p class="quiet-note">Nothing failed in this time.</p>
      ) : (
        <table class="rows troubled">
          <caption class="visually-hidden">Webhooks in trouble</caption>
          <thead>
            <tr>
              {columns.map((column) => (
                <SortedHead key={column.order} column={column} isChosen={column.order === order} />
              ))}
            </tr>
          </thead>
          <tbody>
            {inOrder(worst, order).map((troubled) => (
              <TroubledRow key={troubled.webhook?.id} troubled={troubled} withOwner={withOwner} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function SortedHead({ column: { order, label, isNumber }, isChosen }: { column: Column; isChosen: boolean }) {
  const direction = order === 'worst' ? 'descending' : 'ascending';
  return (
    <th scope="col" class={isNumber === true ? 'number' : undefined} aria-sort={isChosen ? direction : undefined}>
      <a href={withQuery({ sort: order === 'worst' ? undefined : order })}>{label}</a>
    </th>
  );
}

function TroubledRow({ troubled, withOwner }: { troubled: TroubledWebhook; withOwner: boolean }) {
  const { webhook, failed, retrying } = troubled;
  if (webhook === undefined) return null;
  const sinceMs = waitingSinceMs(troubled);
  return (
    <tr>
      <td class="cell-receiver">
        <a class="row-link" href={`/webhooks/${webhook.id}`}>
          <WebhookUrl url={webhook.url} />
        </a>{' '}
        <WebhookState webhook={webhook} />
      </td>
      {withOwner && <td class="cell-user">{webhook.userId}</td>}
      <td class="cell-answer">{causeLabel(troubled)}</td>
      <td class="cell-failed number">
        <b title={count(failed)}>{shortCount(failed)}</b>
        <span class="unit"> given up</span>
        {retrying > 0 && <span class="cell-note">{count(retrying)} retrying</span>}
      </td>
      <td class="cell-when number">
        {sinceMs === Infinity ? <span class="absent">–</span> : <Moment at={new Date(sinceMs)} relative />}
      </td>
    </tr>
  );
}
