BEGIN TRANSACTION;
CREATE TABLE samples (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	candidate_hash VARCHAR(64) NOT NULL, 
	candidate_json TEXT NOT NULL, 
	fingerprint_hash VARCHAR(64) NOT NULL, 
	fingerprint_json TEXT NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	status VARCHAR(8) NOT NULL, 
	times_s TEXT NOT NULL, 
	work_json TEXT NOT NULL, 
	counters_json TEXT NOT NULL, 
	output_sha256 VARCHAR(64) NOT NULL, 
	message TEXT NOT NULL
);
INSERT INTO "samples" VALUES(1,'c934b2c929b1e0f203a870c8f4cc08fa3ac28b928fc943c690d6b88283bc43b7','{"choice":{"algorithm":"direct","input_layouts":["nchw"],"output_layout":"nchw","precision":"float32","processor":"cpu","split":[],"tile":[["width",4]],"type":"Choice"},"spec":{"inputs":[{"dtype":"float32","shape":[1,3],"type":"TensorType"}],"op":{"activation":{"high":6.0,"low":0.0,"type":"Activation"},"type":"Clamp"},"output":{"dtype":"float32","shape":[1,3],"type":"TensorType"},"type":"LayerSpec","weights":[]},"type":"Candidate"}','eff1c6120192e0e8bf46cb1b28803198636b8672462ff506f3e05be7e46cdd87','{"board":"virtual test","clock_hz":250000000.0,"generator":"generator 1","profile_hash":"0000000000000000000000000000000000000000000000000000000000000000","software":"test 1","type":"Fingerprint"}','simulated','ok','[0.001, 0.30000000000000004]','{"alu_instructions":3.0,"balance":1.0,"bytes_written":0.0,"dma_stores":0.0,"load_instructions":0.0,"macs":3.0,"store_instructions":0.0,"streamed_bytes_read":0.0,"type":"Work","uniform_words":0.0,"unique_bytes_read":12.0,"working_set_bytes":0.0,"workspace_bytes":0.0}','{"cycles": 250.0}','abababababababababababababababababababababababababababababababab','');
INSERT INTO "samples" VALUES(2,'324a60687ba0170db72396125ac4b254841d95c14e346848fc059348274d5f76','{"choice":{"algorithm":"direct","input_layouts":["nchw"],"output_layout":"nchw","precision":"float32","processor":"cpu","split":[],"tile":[["width",4]],"type":"Choice"},"spec":{"inputs":[{"dtype":"float32","shape":[1,4],"type":"TensorType"}],"op":{"activation":{"high":6.0,"low":0.0,"type":"Activation"},"type":"Clamp"},"output":{"dtype":"float32","shape":[1,4],"type":"TensorType"},"type":"LayerSpec","weights":[]},"type":"Candidate"}','5432b209a9f01ee3588983833843d82dfe5cdda85e440f298da79704713bed46','{"board":"Intel(R) test \u2013 host","clock_hz":0.0,"generator":"generator 1","profile_hash":"1111111111111111111111111111111111111111111111111111111111111111","software":"gcc 12 -O3","type":"Fingerprint"}','host','ok','[0.001]','{"alu_instructions":4.0,"balance":1.0,"bytes_written":0.0,"dma_stores":0.0,"load_instructions":0.0,"macs":4.0,"store_instructions":0.0,"streamed_bytes_read":0.0,"type":"Work","uniform_words":0.0,"unique_bytes_read":16.0,"working_set_bytes":0.0,"workspace_bytes":0.0}','{"cycles": 250.0}','abababababababababababababababababababababababababababababababab','');
INSERT INTO "samples" VALUES(3,'5273a13504a706519e3b49c19202fd6a92f7f5d82364a18f6950786e9958bc25','{"choice":{"algorithm":"direct","input_layouts":["nchw"],"output_layout":"nchw","precision":"float32","processor":"cpu","split":[],"tile":[["width",4]],"type":"Choice"},"spec":{"inputs":[{"dtype":"float32","shape":[1,5],"type":"TensorType"}],"op":{"activation":{"high":6.0,"low":0.0,"type":"Activation"},"type":"Clamp"},"output":{"dtype":"float32","shape":[1,5],"type":"TensorType"},"type":"LayerSpec","weights":[]},"type":"Candidate"}','eff1c6120192e0e8bf46cb1b28803198636b8672462ff506f3e05be7e46cdd87','{"board":"virtual test","clock_hz":250000000.0,"generator":"generator 1","profile_hash":"0000000000000000000000000000000000000000000000000000000000000000","software":"test 1","type":"Fingerprint"}','simulated','wrong','[0.001]','{"alu_instructions":5.0,"balance":1.0,"bytes_written":0.0,"dma_stores":0.0,"load_instructions":0.0,"macs":5.0,"store_instructions":0.0,"streamed_bytes_read":0.0,"type":"Work","uniform_words":0.0,"unique_bytes_read":20.0,"working_set_bytes":0.0,"workspace_bytes":0.0}','{"cycles": 250.0}','abababababababababababababababababababababababababababababababab','largest error 0.5 of the largest output; allowed 0.001');
INSERT INTO "samples" VALUES(4,'c934b2c929b1e0f203a870c8f4cc08fa3ac28b928fc943c690d6b88283bc43b7','{"choice":{"algorithm":"direct","input_layouts":["nchw"],"output_layout":"nchw","precision":"float32","processor":"cpu","split":[],"tile":[["width",4]],"type":"Choice"},"spec":{"inputs":[{"dtype":"float32","shape":[1,3],"type":"TensorType"}],"op":{"activation":{"high":6.0,"low":0.0,"type":"Activation"},"type":"Clamp"},"output":{"dtype":"float32","shape":[1,3],"type":"TensorType"},"type":"LayerSpec","weights":[]},"type":"Candidate"}','eff1c6120192e0e8bf46cb1b28803198636b8672462ff506f3e05be7e46cdd87','{"board":"virtual test","clock_hz":250000000.0,"generator":"generator 1","profile_hash":"0000000000000000000000000000000000000000000000000000000000000000","software":"test 1","type":"Fingerprint"}','simulated','failed','[]','{"alu_instructions":3.0,"balance":1.0,"bytes_written":0.0,"dma_stores":0.0,"load_instructions":0.0,"macs":3.0,"store_instructions":0.0,"streamed_bytes_read":0.0,"type":"Work","uniform_words":0.0,"unique_bytes_read":12.0,"working_set_bytes":0.0,"workspace_bytes":0.0}','{}','','it ''crashed''');
CREATE TABLE schema_version (
	id INTEGER NOT NULL CHECK (id = 1), 
	version INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "schema_version" VALUES(1,1);
CREATE INDEX samples_by_key ON samples (fingerprint_hash, candidate_hash);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('samples',4);
COMMIT;
