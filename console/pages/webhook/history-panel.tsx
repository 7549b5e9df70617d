// What was changed about a webhook, by whom and when.
import { toJson } from '@bufbuild/protobuf';
import { type Value, ValueSchema } from '@bufbuild/protobuf/wkt';
import { useState } from 'preact/hooks';
import { type ChangedField, WebhookAction, type WebhookChange } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { webhooks } from '../../api/client.ts';
import { useResource } from '../../api/resource.ts';
import { Moment } from '../../components/moment.tsx';
import { Loaded } from '../../components/states.tsx';

/** Entries shown at first, and those that a page of the service may have. */
const FEW = 5;
const MANY = 100;

const ACTIONS: Record<WebhookAction, string> = {
  [WebhookAction.UNSPECIFIED]: 'Changed',
  [WebhookAction.CREATED]: 'Created',
  [WebhookAction.UPDATED]: 'Changed',
  [WebhookAction.DELETED]: 'Deleted',
  [WebhookAction.SECRET_ROTATED]: 'Secret rotated',
  [WebhookAction.ROTATION_COMPLETED]: 'Rotation finished',
  [WebhookAction.ROTATION_CANCELLED]: 'Rotation taken back',
  [WebhookAction.SECRET_READ]: 'Secret read',
  [WebhookAction.PAUSED]: 'Paused',
  [WebhookAction.RESUMED]: 'Resumed',
  [WebhookAction.DISABLED]: 'Disabled by the service',
  [WebhookAction.ENABLED]: 'Enabled by the service',
  [WebhookAction.PROBING_ENDED]: 'Not asked any more whether it is back',
};

export function HistoryPanel({ webhookId, version }: { webhookId: string; version: number }) {
  const [limit, setLimit] = useState(FEW);
  const history = useResource(
    `${webhookId} ${limit}`,
    (signal) => webhooks.getWebhookHistory({ webhookId, limit }, { signal }),
    version,
  );
  return (
    <section class="panel" aria-labelledby="history">
      <div class="panel-head">
        <h2 id="history">History</h2>
        <span class="hint">Kept for a year</span>
      </div>
      <Loaded from={history} lines={FEW}>
        {({ changes, nextPageToken }) => (
          <>
            {changes.length === 0 && <p class="quiet-note">Nothing was changed since the history began.</p>}
            <ol class="history">
              {changes.map((change, index) => (
                <Entry key={index} change={change} />
              ))}
            </ol>
            {nextPageToken !== '' && limit === FEW && (
              <button type="button" class="button" onClick={() => setLimit(MANY)}>
                Show earlier changes
              </button>
            )}
            {nextPageToken !== '' && limit === MANY && (
              <p class="hint">The latest {MANY}. The command “history” lists all of them.</p>
            )}
          </>
        )}
      </Loaded>
    </section>
  );
}

function Entry({ change: { at, by, action, fields, reason } }: { change: WebhookChange }) {
  // Of a new webhook everything is new: the settings below say how it stands.
  const shown = action === WebhookAction.CREATED ? [] : fields;
  return (
    <li>
      <Moment at={at} />
      <b>
        {ACTIONS[action] ?? ACTIONS[WebhookAction.UNSPECIFIED]}
        {reason !== '' && `: ${reason}`}
      </b>
      <span>{by}</span>
      {shown.length > 0 && (
        <ul>
          {shown.map((field) => (
            <FieldLine key={field.field} field={field} />
          ))}
        </ul>
      )}
    </li>
  );
}

function FieldLine({ field }: { field: ChangedField }) {
  return (
    <li>
      <code>{field.field}</code> {text(field.old)} → {text(field.new)}
    </li>
  );
}

function text(value: Value | undefined): string {
  const json = value === undefined ? null : toJson(ValueSchema, value);
  if (json === null || json === '') return 'none';
  if (Array.isArray(json)) return json.length === 0 ? 'none' : json.map(String).join(', ');
  return typeof json === 'string' ? json : JSON.stringify(json);
}
