import { defineConfig } from 'vitest/config';

export default defineConfig({
  build: {
    outDir: '../static',
    emptyOutDir: true,
    // No style and no script inside the page: the policy of the server (CSP) forbids both
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The viewer is one large part, fetched when a study is opened
    chunkSizeWarningLimit: 6000,
  },
  worker: { format: 'es' },
  // The optimizer of the development server loses the loader's worker unless it is left out,
  // and then must be told of the loader's parts that are CommonJS
  optimizeDeps: {
    exclude: ['@cornerstonejs/dicom-image-loader'],
    include: [
      'dicom-parser',
      '@cornerstonejs/codec-charls/decodewasmjs',
      '@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs',
      '@cornerstonejs/codec-openjpeg/decodewasmjs',
      '@cornerstonejs/codec-openjph/wasmjs',
    ],
  },
  server: {
    // A test compares the texts of events with the kinds that the service has
    fs: { allow: ['.', '../../state'] },
    proxy: Object.fromEntries(
      ['/api', '/dicom-web'].map((path) => [path, 'http://127.0.0.1:8080']),
    ),
  },
  // The first test of a page loads all that the page is made of; machines that test are busy
  test: { environment: 'happy-dom', testTimeout: 30_000 },
});
