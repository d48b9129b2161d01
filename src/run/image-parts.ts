import type { RemoteLayout } from '../cluster/layout.js';
import type { RunRecord } from './record.js';

/** A file of a run's image on the cluster. */
export interface RemotePart {
  path: string;
  sha256: string;
  sizeBytes: number;
}

/** The SIF of a run's image and the overlays over it, the lowest first. */
export function imageParts(layout: RemoteLayout, { image }: RunRecord): [base: RemotePart, ...overlays: RemotePart[]] {
  const { sha256, sizeBytes } = image;
  const overlays = image.overlays.map((overlay) => ({ ...overlay, path: layout.overlay(overlay.sha256) }));
  return [{ sha256, sizeBytes, path: layout.image(sha256) }, ...overlays];
}
