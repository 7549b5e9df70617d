// A row of headline numbers.
import type { ComponentChildren } from 'preact';

export interface Figure {
  readonly label: string;
  readonly value: ComponentChildren;
  readonly note?: ComponentChildren;
  readonly tone?: 'good' | 'bad' | undefined;
}

export function Figures({ items }: { items: readonly Figure[] }) {
  return (
    <dl class="figures">
      {items.map((item) => (
        <div key={item.label} class={item.tone === undefined ? 'figure' : `figure ${item.tone}`}>
          <dt>{item.label}</dt>
          <dd class="figure-value">{item.value}</dd>
          <dd class="figure-note">{item.note}</dd>
        </div>
      ))}
    </dl>
  );
}
