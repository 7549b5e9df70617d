// What a replay is to send: how it ended, when it was made, of which types; and how fast.
import { DeliveryStatus } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import { eventTypes } from '../../api/event-types.ts';
import { useResource } from '../../api/resource.ts';
import { Field } from '../../components/field.tsx';
import { Loaded } from '../../components/states.tsx';
import { NumberField } from '../webhooks/number-field.tsx';
import type { ReplayDraft } from './replay-draft.ts';

/** As in CreateReplayRequest. */
const MAX_RATE = 1000;

const STATUSES = [
  { status: DeliveryStatus.FAILED, label: 'Failed', hint: 'given up after the last attempt' },
  { status: DeliveryStatus.CANCELLED, label: 'Cancelled', hint: 'the webhook was disabled, or it was held for too long' },
  { status: DeliveryStatus.DELIVERED, label: 'Delivered', hint: 'the receiver gets them a second time' },
];

interface ReplayFormProps {
  readonly draft: ReplayDraft;
  readonly busy: boolean;
  readonly onChange: (draft: ReplayDraft) => void;
  readonly onSubmit: () => void;
}

export function ReplayForm({ draft, busy, onChange, onSubmit }: ReplayFormProps) {
  const set = (part: Partial<ReplayDraft>) => onChange({ ...draft, ...part });
  return (
    <form
      class="form"
      onSubmit={(event) => {
        event.preventDefault();
        onSubmit();
      }}
    >
      <fieldset class="replay-choices">
        <legend>What to send</legend>
        {STATUSES.map(({ status, label, hint }) => (
          <Choice
            key={status}
            label={label}
            hint={hint}
            checked={draft.statuses.includes(status)}
            onChange={(on) => set({ statuses: toggled(draft.statuses, status, on) })}
          />
        ))}
        <Choice
          label="Missing"
          hint="events of that time that it has no delivery of, and would get today"
          checked={draft.includeMissing}
          onChange={(includeMissing) => set({ includeMissing })}
        />
      </fieldset>
      <div class="replay-choices">
        <MomentField label="Made since" value={draft.since} onInput={(since) => set({ since })} />
        <MomentField label="Made before" value={draft.until} onInput={(until) => set({ until })} />
        <NumberField
          label="Rate"
          unit="Deliveries a second; never above the webhook’s own limit"
          min={1}
          max={MAX_RATE}
          step={1}
          value={draft.rate}
          error={undefined}
          onInput={(rate) => set({ rate })}
        />
      </div>
      <details class="form-more">
        <summary>Only some event types</summary>
        <Types chosen={draft.eventTypes} onChange={(types) => set({ eventTypes: types })} />
      </details>
      <div class="form-actions">
        <button type="submit" class="button" disabled={busy || draft.statuses.length === 0}>
          {busy ? 'Looking…' : 'Look at what that is'}
        </button>
      </div>
    </form>
  );
}

function Types({ chosen, onChange }: { chosen: readonly string[]; onChange: (types: string[]) => void }) {
  const catalogue = useResource('event-types', eventTypes);
  return (
    <Loaded from={catalogue} lines={3}>
      {(types) => (
        <div class="replay-choices" role="group" aria-label="Event types">
          {types.map(({ name }) => (
            <Choice
              key={name}
              label={name}
              checked={chosen.includes(name)}
              onChange={(on) => onChange(toggled(chosen, name, on))}
            />
          ))}
        </div>
      )}
    </Loaded>
  );
}

interface ChoiceProps {
  readonly label: string;
  readonly hint?: string;
  readonly checked: boolean;
  readonly onChange: (on: boolean) => void;
}

function Choice({ label, hint, checked, onChange }: ChoiceProps) {
  return (
    <label class="check">
      <input type="checkbox" checked={checked} onChange={(event) => onChange(event.currentTarget.checked)} />
      <span>
        {label}
        {hint !== undefined && <span class="hint">{hint}</span>}
      </span>
    </label>
  );
}

function MomentField({ label, value, onInput }: { label: string; value: string; onInput: (value: string) => void }) {
  return (
    <Field label={label} optional>
      {(wiring) => (
        <input {...wiring} type="datetime-local" value={value} onInput={(event) => onInput(event.currentTarget.value)} />
      )}
    </Field>
  );
}

function toggled<T>(list: readonly T[], item: T, on: boolean): T[] {
  return on ? [...list, item] : list.filter((other) => other !== item);
}
