import eslint from '@eslint/js';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

/** What each room may import from the other rooms; docs/architecture.md draws the picture. */
const rooms = {
  ssh: [],
  transfer: ['ssh'],
  config: [],
  slurm: ['ssh'],
  image: ['transfer', 'ssh'],
  cluster: ['transfer', 'ssh', 'config'],
  run: ['image', 'cluster', 'slurm', 'config', 'transfer', 'ssh'],
  sandbox: ['image', 'config'],
};

const layers = Object.entries(rooms).map(([room, allowed]) => {
  const forbidden = [...Object.keys(rooms), 'cli'].filter((other) => other !== room && !allowed.includes(other));
  return {
    files: [`src/${room}/**/*.ts`],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: forbidden.map((other) => ({
            group: [`**/${other}/*`],
            message: `${room}/ may import only from: ${allowed.join(', ') || 'nothing but the top level'}.`,
          })),
        },
      ],
    },
  };
});

export default defineConfig(
  { ignores: ['dist/', 'node_modules/'] },
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
    },
  },
  { files: ['**/*.{js,mjs}'], languageOptions: { globals: { process: 'readonly', URL: 'readonly' } } },
  ...layers,
);
