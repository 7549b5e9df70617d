// The filters that lists of deliveries share. Each change is a new address, so a filtered view can be sent to another person.
import { useEffect } from 'preact/hooks';
import { eventTypes } from '../api/event-types.ts';
import { useResource } from '../api/resource.ts';
import { directory, readDirectory } from '../api/webhook-directory.ts';
import { statuses } from '../format/status.ts';
import { navigate, query, withQuery } from '../router.ts';
import { zone } from '../zone.ts';
import { Segments } from './segments.tsx';

/** Paging starts over whenever the selection changes. */
function select(name: string, value: string): void {
  navigate(withQuery({ [name]: value, page_token: undefined }), { replace: true });
}

export function StatusFilter() {
  const chosen = query.value.get('status') ?? '';
  return (
    <Segments
      label="Status"
      items={[{ key: '', label: 'All' }, ...statuses].map((look) => ({
        href: withQuery({ status: look.key, page_token: undefined }),
        label: look.label,
        current: look.key === chosen,
      }))}
    />
  );
}

export function WebhookFilter() {
  useEffect(() => void readDirectory(), []);
  const chosen = query.value.get('webhook_id') ?? '';
  const { list, byId } = directory.value;
  return (
    <label class="filter">
      <span>Webhook</span>
      <select value={chosen} onChange={(event) => select('webhook_id', event.currentTarget.value)}>
        <option value="">Any</option>
        {chosen !== '' && !byId.has(chosen) && <option value={chosen}>{chosen}</option>}
        {list.map((webhook) => (
          <option key={webhook.id} value={webhook.id}>
            {webhook.url.replace(/^https?:\/\//, '')}
          </option>
        ))}
      </select>
    </label>
  );
}

export function EventTypeFilter() {
  const catalogue = useResource('event-types', eventTypes);
  const chosen = query.value.get('event_type') ?? '';
  const names = (catalogue.data ?? []).map((type) => type.name);
  return (
    <label class="filter">
      <span>Event type</span>
      <select value={chosen} onChange={(event) => select('event_type', event.currentTarget.value)}>
        <option value="">Any</option>
        {chosen !== '' && !names.includes(chosen) && <option value={chosen}>{chosen}</option>}
        {names.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

/** A moment in the zone that times are shown in; the address carries it in UTC. */
export function MomentFilter({ name, label }: { name: string; label: string }) {
  const chosen = query.value.get(name);
  return (
    <label class="filter">
      <span>{label}</span>
      <input
        type="datetime-local"
        value={chosen === null ? '' : toLocalInput(chosen)}
        onChange={(event) => {
          const typed = event.currentTarget.value;
          const at = new Date(zone.peek() === 'utc' && typed !== '' ? `${typed}Z` : typed);
          select(name, Number.isNaN(at.getTime()) ? '' : at.toISOString());
        }}
      />
    </label>
  );
}

export function TextFilter({
  name,
  label,
  placeholder,
  shape,
}: {
  name: string;
  label: string;
  placeholder: string;
  shape?: RegExp;
}) {
  const chosen = query.value.get(name) ?? '';
  return (
    <label class="filter">
      <span>{label}</span>
      <input
        type="search"
        key={chosen}
        defaultValue={chosen}
        placeholder={placeholder}
        spellcheck={false}
        onInput={(event) => {
          const text = event.currentTarget.value.trim();
          event.currentTarget.setCustomValidity(
            text === '' || shape === undefined || shape.test(text) ? '' : `Looks like ${placeholder}`,
          );
        }}
        onChange={(event) => {
          if (event.currentTarget.reportValidity()) select(name, event.currentTarget.value.trim());
        }}
      />
    </label>
  );
}

function toLocalInput(iso: string): string {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return '';
  const offsetMinutes = zone.value === 'utc' ? 0 : at.getTimezoneOffset();
  return new Date(at.getTime() - offsetMinutes * 60_000).toISOString().slice(0, 16);
}
