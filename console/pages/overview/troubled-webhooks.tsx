// The webhooks in trouble, worst first, with what is in the way.
import type { Overview, TroubledWebhook } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { nowMs } from '../../clock.ts';
import { WebhookUrl } from '../../components/webhook-name.tsx';
import { stateOf, WebhookState } from '../../components/webhook-state.tsx';
import { causeOfKey } from '../../format/cause.ts';
import { count, shortCount } from '../../format/number.ts';

export function TroubledWebhooks({ overview }: { overview: Overview }) {
  return (
    <section class="panel" aria-labelledby="overview-webhooks">
      <div class="panel-head">
        <h2 id="overview-webhooks">Webhooks in trouble</h2>
        <a href="/webhooks">All webhooks</a>
      </div>
      {overview.worst.length === 0 ? (
        <p class="quiet-note">Nothing failed in this time.</p>
      ) : (
        <ul class="health-list">
          {overview.worst.map((troubled) => (
            <TroubledRow key={troubled.webhook?.id} troubled={troubled} />
          ))}
        </ul>
      )}
    </section>
  );
}

function TroubledRow({ troubled: { webhook, failed, retrying, cause } }: { troubled: TroubledWebhook }) {
  if (webhook === undefined) return null;
  const reason = cause === undefined ? '' : causeOfKey(cause.cause).label;
  return (
    <li>
      <a class="health-row" href={`/webhooks/${webhook.id}`}>
        <span class="health-name">
          <WebhookUrl url={webhook.url} />
          <span class="health-detail">{reason || stateOf(webhook, nowMs.peek()).detail || webhook.description}</span>
        </span>
        <WebhookState webhook={webhook} />
        <span class="health-number">
          <b title={count(failed)}>{shortCount(failed)}</b>
          <span>given up</span>
        </span>
        <span class="health-number">
          <b title={count(retrying)}>{shortCount(retrying)}</b>
          <span>retrying</span>
        </span>
      </a>
    </li>
  );
}
