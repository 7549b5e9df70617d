// A question before something that cannot be undone, in the browser's own modal dialog: focus, Escape and inertness come with it.
import type { ComponentChildren } from 'preact';
import { useId, useLayoutEffect, useRef } from 'preact/hooks';
import type { Action } from '../api/action.ts';
import { Problem } from './states.tsx';

interface Confirmation {
  readonly title: string;
  readonly confirm: string;
  readonly cancel?: string;
  readonly dangerous?: boolean;
  readonly action: Action<[]>;
  readonly children: ComponentChildren;
  readonly onClose: () => void;
}

export function ConfirmDialog({
  title,
  confirm,
  cancel = 'Cancel',
  dangerous = false,
  action,
  children,
  onClose,
}: Confirmation) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  // Before the browser draws: a key pressed right after must already meet the dialog.
  useLayoutEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby={heading} onClose={onClose}>
      <h2 id={heading}>{title}</h2>
      <div class="dialog-body">{children}</div>
      {action.failure !== undefined && <Problem failure={action.failure} />}
      <div class="dialog-actions">
        <button type="button" class="button" onClick={() => dialog.current?.close()}>
          {cancel}
        </button>
        <button
          type="button"
          class={dangerous ? 'button danger' : 'button primary'}
          disabled={action.busy}
          onClick={() => void action.run()}
        >
          {action.busy ? 'Working…' : confirm}
        </button>
      </div>
    </dialog>
  );
}
