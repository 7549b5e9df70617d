// Webhooks in rows.
import type { Webhook } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { nowMs } from '../../clock.ts';
import { seesEverybody } from '../../api/session.ts';
import { Moment } from '../../components/moment.tsx';
import { WebhookUrl } from '../../components/webhook-name.tsx';
import { stateOf, WebhookState } from '../../components/webhook-state.tsx';

export function WebhookTable({ list }: { list: readonly Webhook[] }) {
  const withUser = seesEverybody();
  return (
    <table class="rows webhooks">
      <caption class="visually-hidden">Webhooks, newest first</caption>
      <thead>
        <tr>
          <th scope="col">Receiver</th>
          {withUser && <th scope="col">User</th>}
          <th scope="col">Events</th>
          <th scope="col">State</th>
          <th scope="col" class="number">
            Created
          </th>
        </tr>
      </thead>
      <tbody>
        {list.map((webhook) => (
          <tr key={webhook.id}>
            <td class="cell-receiver">
              <a class="row-link" href={`/webhooks/${webhook.id}`}>
                <WebhookUrl url={webhook.url} />
              </a>
              {webhook.description !== '' && <span class="cell-note">{webhook.description}</span>}
            </td>
            {withUser && <td class="cell-user">{webhook.userId}</td>}
            <td class="cell-events">
              <EventNames names={webhook.events} />
            </td>
            <td class="cell-state">
              <WebhookState webhook={webhook} />
              <span class="cell-note">{stateOf(webhook, nowMs.peek()).detail}</span>
            </td>
            <td class="cell-when number">
              <Moment at={webhook.createdAt} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** The first few by name, the rest by number. */
export function EventNames({ names, most = 2 }: { names: readonly string[]; most?: number }) {
  const rest = names.length - most;
  return (
    <span class="event-names" title={names.join(', ')}>
      {names.slice(0, most).map((name) => (
        <span key={name} class="event-name">
          {name}
        </span>
      ))}
      {rest > 0 && <span class="event-name more">+{rest}</span>}
    </span>
  );
}
